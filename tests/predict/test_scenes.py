"""Panels of everything that a network predicts for a picture."""

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxuda.data.classes import labels
from jaxuda.predict import prediction
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels
from tests import tiny


class Dense(tiny.Method):
  """Also predicts a density: from 0 at the left edge to 255 at the right."""

  def predict(self, state, image, *, size=None):
    out = super().predict(state, image, size=size)
    height, width = out['depth'].shape[1:]
    row = 255 * jnp.linspace(0, 1, width)
    out['density'] = jnp.broadcast_to(row[None, None], (1, height, width))
    return out


def test_panels_show_depth_and_density_beside_the_labels(tmp_path):
  config, method = tiny.make_config(), Dense()
  state = method.init(*workdir_lib.init_args(config, method))
  run = workdir_lib.Run(config=config, method=method, state=state, step=0)
  folder = tmp_path / 'images'
  folder.mkdir()
  drawn = np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)
  Image.fromarray(drawn).save(folder / 'b.png')
  wide = np.zeros((10, 1300, 3), np.uint8)
  Image.fromarray(wide).save(folder / 'wide.png')
  assert prediction.run_folder(run, folder, tmp_path / 'out', drawn=True) == []
  image = panels.read_image(folder / 'b.png')
  height, width = image.shape[:2]
  panel = panels.read_image(tmp_path / 'out' / 'panels' / 'b.png')
  cells = [
    panel[18 : 18 + height, (width + 4) * i :][:, :width] for i in range(4)
  ]
  assert panel.shape == (18 + height + 4, 4 * (width + 4) - 4, 3)
  np.testing.assert_array_equal(cells[0], image)
  colors = labels.CLASS_SETS['coarse7'].colors
  label = prediction.predict_labels(image, run)
  np.testing.assert_array_equal(cells[1], colors[label])
  # The method predicts 20 m everywhere.
  expected = panels.color_depth(np.full(label.shape, 20.0))
  np.testing.assert_array_equal(cells[2], expected)
  density = np.tile(np.linspace(0, 255, width), (height, 1))
  expected = panels.color_density(density)
  # One level of 255 apart where rounding differs.
  assert np.abs(cells[3].astype(int) - expected).max() <= 6
  assert len(np.unique(cells[3].reshape(-1, 3), axis=0)) > width // 2
  # The others are written as ever, and a wide one is shown at most 640 wide.
  with Image.open(tmp_path / 'out' / 'ids' / 'b.png') as written:
    np.testing.assert_array_equal(np.asarray(written), label)
  with Image.open(tmp_path / 'out' / 'panels' / 'wide.png') as written:
    assert written.size == (4 * 644 - 4, 18 + 5 + 4)
  # Without padding, for a network that keeps the aspect ratio.
  run.config.data.target.fit = 'pad'
  prediction.run_folder(run, folder, tmp_path / 'pad', drawn=True)
  panel = panels.read_image(tmp_path / 'pad' / 'panels' / 'b.png')
  assert panel.shape == (18 + height + 4, 4 * (width + 4) - 4, 3)
  np.testing.assert_array_equal(panel[18 : 18 + height, :width], image)
