"""The picture of runs, on the embedded streets, with toy networks."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.predict import prediction
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import panels
from tests import filling

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts'
_spec = importlib.util.spec_from_file_location(
  'show_runs', SCRIPT / 'show_runs.py'
)
show_runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(show_runs)

SIZE = (32, 64)
FLAGS = {
  'network.backbone': 'resnet_tiny',
  'method.disc_width': 4,
  'data.source.dataset': 'streets/source_32x64_train2_val4',
  'data.target.dataset': 'streets/target_32x64_train2_val4',
  'data.source.size': SIZE,
  'data.target.size': SIZE,
}


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory):
  """Makes two runs of DADA whose networks differ."""
  root = tmp_path_factory.mktemp('runs')
  given = {**FLAGS, 'data.data_dir': root / 'tfds'}
  config = command.read_config(
    'dada:pair=streets', [f'--config.{k}={v}' for k, v in given.items()]
  )
  method = methods.create(config)
  _, batch = workdir_lib.init_args(config, method)
  for seed, name in enumerate('ab'):
    shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
    state = jax.tree.map(jax.numpy.asarray, filling.fill(shapes, seed=seed))
    with checkpoint.Checkpoints(root / name) as checkpoints:
      checkpoints.save(3, state, config=workdir_lib.config_to_dict(config))
      checkpoints.wait()
    tree = workdir_lib.config_to_dict(config)
    workdir_lib.write_json(root / name / 'config.json', tree)
  return [str(root / x) for x in 'ab']


def test_a_row_for_each_image_and_a_column_for_each_run(runs):
  picture = show_runs.draw(runs, names=['A', 'B'], numbers=['3', '1'])
  loaded = [workdir_lib.load(x) for x in runs]
  height, width = SIZE
  # image, truth, two predictions, and one depth: that of the last.
  assert picture.shape == (18 + 2 * (height + 4), 5 * (width + 4) - 4, 3)
  colors = labels.get_class_set('cityscapes19').colors
  stream = pipeline.eval_stream(
    loaded[0].config.data, classes='cityscapes19', batch_size=1
  )
  every = list(stream)
  for row, number in enumerate((3, 1)):
    top = 18 + row * (height + 4)
    cells = [
      picture[top : top + height, i * (width + 4) :][:, :width]
      for i in range(5)
    ]
    image, label = (every[number][x][0] for x in ('image', 'label'))
    np.testing.assert_array_equal(cells[0], image)
    np.testing.assert_array_equal(cells[1], panels.color_labels(label, colors))
    for cell, run in zip(cells[2:4], loaded, strict=True):
      found = colors[prediction.predict_labels(image, run)]
      np.testing.assert_array_equal(cell, found)
    out = jax.jit(loaded[1].method.predict)(loaded[1].state, image[None])
    depth = panels.color_depth(out['depth'][0])
    # One level, as another program rounds differently.
    assert np.abs(cells[4].astype(int) - depth).max() < 8
    assert cells[4].std() > 1
  assert np.any(cells[2] != cells[3])


def test_another_dataset_without_depth_and_with_a_legend(runs):
  drawn = show_runs.draw(
    runs[:1],
    numbers=['0'],
    dataset=FLAGS['data.source.dataset'],
    depth=False,
    legend=True,
  )
  height, width = SIZE
  assert drawn.shape[1] == 3 * (width + 4) - 4
  assert drawn.shape[0] > 18 + height + 4 + 100
  run = workdir_lib.load(runs[0])
  run.config.data.target.dataset = FLAGS['data.source.dataset']
  stream = pipeline.eval_stream(
    run.config.data, classes='cityscapes19', batch_size=1
  )
  first = next(stream)['image'][0]
  np.testing.assert_array_equal(drawn[18 : 18 + height, :width], first)


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'numbers': ['1', '-2']}, r'--numbers=1,-2; expected numbers from 0'),
    ({'numbers': ['4']}, r'no image 4 in streets/target_\S+ val; expected'),
    ({'names': ['A', 'A']}, '--names=A,A; expected a different name'),
    ({'split': 'dusk'}, "no split 'dusk'"),
  ],
)
def test_what_is_wrong_is_named(runs, given, message):
  with pytest.raises(errors.UserError, match=message):
    show_runs.draw(runs[:1], **given)
