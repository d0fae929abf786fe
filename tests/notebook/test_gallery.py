import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.notebook import gallery
from jaxuda.predict import prediction
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels
from tests import tiny

COLORS = labels.get_class_set('coarse7').colors


@pytest.fixture(name='run')
def _run(monkeypatch):
  tiny.install(monkeypatch)
  config, method = tiny.make_config(), tiny.Method()
  state = method.init(*workdir_lib.init_args(config, method))
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


def test_samples_of_a_split_without_labels_are_images(run):
  run.config.data.target.eval_split = 'bare'
  assert gallery.read_samples(run.config, count=2).keys() == {'image'}
  assert gallery.draw_predictions({'a': run}, count=2).ndim == 3


def test_samples_are_the_first_with_what_is_true(run):
  samples = gallery.read_samples(run.config, count=2)
  stream = tiny.eval_stream(run.config.data, classes='coarse7', batch_size=1)
  for i, batch in zip(range(2), stream, strict=False):
    np.testing.assert_array_equal(samples['image'][i], batch['image'][0])
    np.testing.assert_array_equal(samples['label'][i], batch['label'][0])
    assert samples['depth'][i].shape == (16, 32)


def test_domains_with_labels_and_depth_of_the_source(run):
  picture = gallery.draw_domains(run.config, count=2)
  batch = next(
    tiny.train_stream(
      run.config.data,
      classes='coarse7',
      needs=run.method.needs,
      batch_size=2,
      seed=run.config.seed,
    )
  )
  # Cells of 8x16 with 4 between them below a heading of 18.
  source, target = batch['source'], batch['target']
  below = 18 + 2 * 12 + 18
  for i in (0, 1):
    rows = slice(18 + 12 * i, 26 + 12 * i)
    np.testing.assert_array_equal(picture[rows, :16], source['image'][i])
    painted = COLORS[source['label'][i]]
    np.testing.assert_array_equal(picture[rows, 20:36], painted)
    depth = panels.color_depth(source['depth'][i])
    np.testing.assert_array_equal(picture[rows, 40:56], depth)
    rows = slice(below + 12 * i, below + 8 + 12 * i)
    np.testing.assert_array_equal(picture[rows, :16], target['image'][i])
  # One class below the other: 16 pixels per line.
  assert picture.shape == (below + 2 * 12 + 7 * 16 + 4, 56, 3)


def test_predictions_of_every_run_beside_the_truth(run):
  picture = gallery.draw_predictions({'a': run, 'b': run}, count=2)
  samples = gallery.read_samples(run.config, count=2)
  for i, image in enumerate(samples['image']):
    rows = picture[18 + 12 * i : 26 + 12 * i]
    np.testing.assert_array_equal(rows[:, :16], image)
    # Labels have twice the size; regions of one class are 4x4 there.
    truth = COLORS[samples['label'][i][1::2, 1::2]]
    np.testing.assert_array_equal(rows[:, 20:36], truth)
    predicted = COLORS[prediction.predict_labels(image, run)]
    np.testing.assert_array_equal(rows[:, 40:56], predicted)
    np.testing.assert_array_equal(rows[:, 60:76], predicted)


def test_other_classes_cannot_stand_beside_these(run):
  other = workdir_lib.Run(
    config=tiny.make_config(classes='camvid11'),
    method=run.method,
    state=run.state,
    step=0,
  )
  with pytest.raises(errors.UserError, match='b has the classes camvid11'):
    gallery.draw_predictions({'a': run, 'b': other})


def test_the_newest_picture(tmp_path):
  for step in (90, 1000):
    picture = np.full((4, 5, 3), step % 91, np.uint8)
    panels.write_png(tmp_path / 'pictures' / f'target_{step:07d}.png', picture)
  found = gallery.read_picture(tmp_path, 'target')
  np.testing.assert_array_equal(found, np.full((4, 5, 3), 1000 % 91))
  with pytest.raises(errors.UserError, match=r'training_\*.png'):
    gallery.read_picture(tmp_path, 'training')
