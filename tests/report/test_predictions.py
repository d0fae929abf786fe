import base64
import dataclasses
import io
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.evaluate import evaluation
from jaxuda.report import predictions
from jaxuda.report import sections
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels
from tests import tiny


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


def _make_run(seed, **changes):
  """Makes a run whose linear map differs from others only by its seed."""
  config = tiny.make_config(**changes)
  method = tiny.Method(**config.method)
  state = method.init(*workdir_lib.init_args(config, method))
  net = state.nets['task']
  kernel, noise = (
    np.random.default_rng(s).normal(size=(3, 7)) for s in (0, seed)
  )
  kernel = (kernel + 0.2 * noise).astype(np.float32)
  net = net.replace(params={**net.params, 'kernel': kernel})
  state = state.replace(nets={'task': net})
  return workdir_lib.Run(config=config, method=method, state=state, step=seed)


def _everything(config):
  """Yields (name, image, label) of every image of the split."""
  for batch in tiny.eval_stream(config.data, classes='', batch_size=2):
    for i, name in enumerate(batch['name']):
      yield name, batch['image'][i], batch['label'][i]


def _predict(run, image, size):
  out = run.method.predict(run.state, image[None], size=size)
  return np.asarray(out['logits'])[0].argmax(-1)


def _count_differing(maps, label):
  """Counts, pixel by pixel, labelled pixels that differ between maps."""
  differ = counted = 0
  for place in itertools.product(*map(range, label.shape)):
    if label[place] != 255:
      counted += 1
      differ += len({int(m[place]) for m in maps}) > 1
  return differ / counted


def test_disagreement_by_hand():
  label = np.array([[[0, 1, 255, 2]], [[255] * 4]])
  runs = np.array(
    [
      [[[0, 1, 1, 2]], [[0, 0, 0, 0]]],
      [[[0, 2, 2, 2]], [[1, 1, 1, 1]]],
      [[[0, 1, 3, 0]], [[2, 2, 2, 2]]],
    ]
  )
  # The third pixel has no label, and nothing in the second image has one.
  np.testing.assert_allclose(predictions.disagreements(runs, label), [2 / 3, 0])
  # A single run is compared with the ground truth.
  np.testing.assert_allclose(
    predictions.disagreements(runs[1:2], label), [1 / 3, 0]
  )


@pytest.mark.parametrize('count', [0, 2, 9])
def test_shows_where_the_runs_disagree_most(count):
  runs = {'a': _make_run(1), 'b': _make_run(2), 'c': _make_run(5)}
  expected = []
  for name, image, label in _everything(runs['a'].config):
    maps = [_predict(run, image, label.shape) for run in runs.values()]
    expected.append((_count_differing(maps, label), name))
  # The expected result is unambiguous: no two images are alike.
  assert len({share for share, _ in expected}) == tiny.IMAGES
  expected = sorted(expected, reverse=True)[:count]
  samples = predictions.look(runs, count=count).samples
  assert [sample.name for sample in samples] == [name for _, name in expected]
  np.testing.assert_allclose(
    [sample.disagreement for sample in samples], [x for x, _ in expected]
  )
  for sample in samples:
    (image, label), *_ = (
      x for name, *x in _everything(runs['a'].config) if name == sample.name
    )
    np.testing.assert_array_equal(sample.image, image)
    np.testing.assert_array_equal(sample.label, label)
    for name, run in runs.items():
      np.testing.assert_array_equal(
        sample.predictions[name], _predict(run, image, label.shape)
      )


def test_labels_may_differ_in_size(monkeypatch):
  def stream(*args, **options):
    assert options['many_sizes']
    for batch in tiny.eval_stream(*args, **options):
      if len(batch['name']) == 2:
        for field in {'label', 'depth', 'depth_valid'} & batch.keys():
          first, second = batch[field]
          batch[field] = [first, second[:-3, :-5]]
      yield batch

  runs = {'a': _make_run(1), 'b': _make_run(2)}
  whole = list(_everything(runs['a'].config))
  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  look = predictions.look(runs, count=9)
  assert (look.images, len(look.samples)) == (5, 5)
  sizes = {x.name: x.label.shape for x in look.samples}
  assert [sizes[name] for name, _, _ in whole] == [
    *((16, 32), (13, 27)) * 2,
    (16, 32),
  ]
  counts = np.zeros((7, 7), np.int64)
  for name, image, label in whole:
    label = label[: sizes[name][0], : sizes[name][1]]
    np.add.at(counts, (label, _predict(runs['b'], image, label.shape)), 1)
  np.testing.assert_array_equal(look.confusions['b'], counts)


def test_a_single_run_is_shown_where_it_is_wrong():
  run = _make_run(1)
  expected = max(
    (_count_differing([_predict(run, image, label.shape), label], label), name)
    for name, image, label in _everything(run.config)
  )
  (sample,) = predictions.look({'a': run}, count=1).samples
  assert (sample.disagreement, sample.name) == pytest.approx(expected)


def test_scores_are_those_of_evaluate():
  runs = {'a': _make_run(1), 'b': _make_run(2, method={'depth': False})}
  seen = predictions.look(runs, count=9)
  assert (seen.images, seen.total) == (tiny.IMAGES, tiny.IMAGES)
  for name, run in runs.items():
    theirs = evaluation.run(run.method, run.state, run.config, step=3)
    ours = seen.scores[name]
    for figure in ('mIoU7', 'IoU'):
      assert (
        ours['figures'][figure]['value'] == theirs['figures'][figure]['value']
      )
    assert list(ours['images'].values()) == list(theirs['images'].values())
    assert ours['checkpoint_step'] == run.step
    assert seen.confusions[name].sum() == 5 * 16 * 32
  # The truth is 10 m; the network with depth predicts 20 m.
  for sample in seen.samples:
    assert set(sample.depths) == {'a'}
    np.testing.assert_array_equal(sample.depth, np.full((16, 32), 10))
    np.testing.assert_allclose(sample.depths['a'], np.full((16, 32), 20.0))


def test_limit_inside_a_batch():
  runs = {'a': _make_run(1), 'b': _make_run(2)}
  seen = predictions.look(runs, count=9, limit=3)
  assert (seen.images, seen.total) == (3, tiny.IMAGES)
  assert {s.name for s in seen.samples} == {f'image {i}' for i in range(3)}
  assert seen.confusions['a'].sum() == 3 * 16 * 32
  assert len(seen.scores['b']['images']) == 3


def test_each_run_sees_its_own_input(monkeypatch):
  opened = []
  real = tiny.eval_stream

  def stream(data_config, **options):
    opened.append(tuple(data_config.target.size))
    for batch in real(data_config, **options):
      yield {**batch, 'label': np.zeros_like(batch['label'][:, :8, :8])}

  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  runs = {name: _make_run(1) for name in 'abc'}
  runs['b'].config.data.target.size = (16, 32)
  shapes = []
  monkeypatch.setattr(
    predictions,
    '_predict',
    lambda state, image, label, method: (
      shapes.append(image.shape)
      or {
        'prediction': np.zeros(label.shape, np.uint8),
        'confusion': np.zeros((len(label), 7, 7), np.int32),
      }
    ),
  )
  predictions.look(runs, count=1, limit=2)
  # The two runs with the same input share a stream.
  assert opened == [(8, 16), (16, 32)]
  assert shapes == [(2, 8, 16, 3), (2, 16, 32, 3), (2, 8, 16, 3)]


def test_other_images_are_refused(monkeypatch):
  real = tiny.eval_stream

  def stream(data_config, **options):
    for batch in real(data_config, **options):
      name = [f'{data_config.target.manual_dir}{x}' for x in batch['name']]
      yield {**batch, 'name': name}

  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  runs = {name: _make_run(1) for name in 'ab'}
  runs['b'].config.data.target.manual_dir = '/elsewhere/'
  with pytest.raises(errors.UserError, match='/elsewhere/image 0'):
    predictions.look(runs, count=1)


def test_prediction_is_the_same_on_and_off_the_device():
  run = _make_run(1)
  batch = next(
    iter(tiny.eval_stream(run.config.data, classes='', batch_size=2))
  )
  out = predictions.predict_batch(run, batch)
  with jax.disable_jit():
    eager = predictions.predict_batch(run, batch)
  # Depth is interpolated, and differs by a rounding.
  for name in out:
    np.testing.assert_allclose(out[name], eager[name], rtol=1e-6)
  assert out['prediction'].dtype == np.uint8


class Dense(tiny.Method):
  """Also predicts a density of 51 everywhere."""

  def predict(self, state, image, *, size=None):
    out = super().predict(state, image, size=size)
    return {**out, 'density': jnp.full(out['depth'].shape, 51.0)}


def test_density_is_shown_of_the_runs_that_say_it():
  plain = _make_run(1)
  dense = dataclasses.replace(plain, method=Dense())
  seen = predictions.look({'plain': plain, 'dense': dense}, count=1)
  (sample,) = seen.samples
  assert sample.densities.keys() == {'dense'}
  np.testing.assert_allclose(sample.densities['dense'], 51.0, rtol=1e-6)
  colors = np.zeros((7, 3), np.uint8)
  scene, first, second = sections._describe_sample(sample, colors)['columns']
  kinds = [[kind for kind, _ in x['pictures']] for x in (scene, first, second)]
  assert kinds == [
    ['image', 'truth', 'true depth'],
    ['prediction', 'errors', 'depth'],
    ['prediction', 'errors', 'depth', 'density'],
  ]
  _, data = dict(second['pictures'])['density'].split(',')
  with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
    shown = np.asarray(picture).astype(int)
  expected = panels.color_density(np.array([[51.0]]))[0, 0]
  # A JPEG.
  assert np.abs(shown - expected).max() <= 3
