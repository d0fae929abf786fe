"""Criteria without labels, compared with NumPy and with results by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.evaluate import blind
from jaxuda.evaluate import evaluation
from jaxuda.ops import entropy
from jaxuda.run import workdir as workdir_lib
from tests import tiny


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfTraining(tiny.Method):
  """The teacher predicts the classes in reverse order."""

  evaluate: str = 'student'

  def init(self, key, example):
    state = super().init(key, example)
    net = state.nets['task']
    kernel = net.params['kernel'][:, ::-1]
    return state.replace(
      teacher=net.replace(params={**net.params, 'kernel': kernel})
    )

  def predict(self, state, image, *, size=None):
    if self.evaluate == 'teacher':
      state = state.replace(nets={'task': state.teacher})
    return super().predict(state, image, size=size)


def make(method):
  config = tiny.make_config()
  return config, method.init(*workdir_lib.init_args(config, method))


def say(method, state, image, size, **other):
  """Returns logits of one image, float64 [*size, C]."""
  method = dataclasses.replace(method, **other)
  out = method.predict(state, image[None], size=size)
  return np.asarray(out['logits'][0], np.float64)


def images(config):
  """Yields the images that are scored, without padding rows."""
  for batch in tiny.eval_stream(
    config.data, classes='', batch_size=2, optional=('label',)
  ):
    yield from batch['image'][: len(batch['name'])]


def soften(logits):
  p = np.exp(logits - logits.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def neighbours(vectors, temperature):
  """Returns the density, row by row, each without the row itself."""
  vectors = vectors / np.sqrt((vectors**2).sum(-1, keepdims=True))
  entropies = []
  for i, vector in enumerate(vectors):
    p = soften(np.delete(vectors, i, 0) @ vector / temperature)
    entropies.append(-(p * np.log(p + 1e-300)).sum())
  return np.mean(entropies)


@pytest.mark.parametrize('temperature', [0.05, 1.0])
def test_density_is_that_of_rows_one_by_one(temperature):
  p = soften(3 * np.random.default_rng(0).normal(size=(40, 5)))
  found = entropy.soft_density(jnp.asarray(p), temperature=temperature)
  assert float(found) == pytest.approx(neighbours(p, temperature), rel=1e-4)


def test_density_of_clusters_by_hand():
  # Ten of each of two classes: nine neighbours at equal distance.
  p = jnp.repeat(jnp.array([[0.999, 0.001], [0.001, 0.999]]), 10, 0)
  assert float(entropy.soft_density(p)) == pytest.approx(np.log(9), abs=1e-4)
  # In the middle between both classes there are 19.
  middle = jnp.full((20, 2), 0.5)
  assert float(entropy.soft_density(middle)) == pytest.approx(np.log(19))


@pytest.mark.parametrize('kind', [tiny.Method, SelfTraining])
@pytest.mark.parametrize('split', ['val', 'bare'])
def test_criteria_of_a_split_by_numpy(kind, split):
  method = kind(depth=False)
  config, state = make(method)
  config.data.target.eval_split = split
  result = evaluation.run(method, state, config, step=3, judge=True)
  entropies, means, points, agree = [], [], [], []
  for image in images(config):
    # Labels are twice as large.
    size = (16, 32) if split == 'val' else (8, 16)
    logits = other = say(method, state, image, size)
    if kind is SelfTraining:
      other = say(method, state, image, size, evaluate='teacher')
    p = soften(logits)
    entropies.append((-p * np.log(p)).sum(-1).mean() / np.log(7))
    means.append(p.mean((0, 1)))
    rows, columns = (
      [int((i + 0.5) * length / n) for i in range(n)]
      for n, length in zip((4, 8), size, strict=True)
    )
    points += [p[y, x] for y in rows for x in columns]
    agree.append((logits.argmax(-1) == other.argmax(-1)).mean())
  p = np.mean(means, 0)
  diversity = (-p * np.log(p)).sum() / np.log(7)
  expected = {
    'blind_entropy': np.mean(entropies),
    'blind_information': diversity - np.mean(entropies),
    'blind_density': neighbours(np.array(points), 0.05),
    'blind_choice': (diversity - np.mean(entropies)) * np.mean(agree) ** 2,
  }
  values = {
    name: figure['value']
    for name, figure in result['figures'].items()
    if name.startswith('blind')
  }
  share = values.pop('blind_teacher' if kind is SelfTraining else 'blind_flip')
  # Where two classes are equally likely, rounding decides.
  assert share == pytest.approx(np.mean(agree), abs=0.01)
  assert set(values) == set(expected)
  for name, value in expected.items():
    rel = 0.03 if name == 'blind_choice' else 1e-3
    assert values[name] == pytest.approx(value, rel=rel, abs=1e-5), name
  figure = result['figures']['blind_entropy']
  assert (figure['images'], figure['split']) == (tiny.IMAGES, split)
  assert ('IoU' in result['figures']) == (split == 'val')
  assert result['main'] == ('mIoU7' if split == 'val' else 'blind_choice')


def test_a_teacher_is_compared_whichever_is_evaluated():
  config, state = make(SelfTraining())
  shares = [
    evaluation.run(SelfTraining(evaluate=x), state, config, step=3, judge=True)[
      'figures'
    ]['blind_teacher']['value']
    for x in ('student', 'teacher')
  ]
  assert shares[0] == shares[1] < 1
  same = state.replace(teacher=state.nets['task'])
  result = evaluation.run(SelfTraining(), same, config, step=3, judge=True)
  assert result['figures']['blind_teacher']['value'] == 1


def test_a_mirror_image_that_looks_other():
  """Of two columns the network takes the left for what it is in the right."""

  class Blinkered(tiny.Method):
    def predict(self, state, image, *, size=None):
      bright = image[..., :1].astype(jnp.float32)
      side = jnp.arange(image.shape[2])[:, None] < image.shape[2] // 4
      other = jnp.broadcast_to(jnp.where(side, 9.0, 0.0), bright.shape)
      logits = jnp.concatenate([bright - 100, other], -1)
      del state, size
      return {'logits': logits}

  image = jnp.full((1, 4, 8, 3), 104, jnp.uint8)
  out = Blinkered().predict(None, image)
  found = blind.measure(out, blind.look_again(Blinkered(), None, image))
  # 4 against 9 in the left quarter, 4 against 0 elsewhere.
  assert float(found['flip'][0]) == 0.5


def test_depth_decoders_by_hand():
  config, state = make(tiny.Method())
  del config
  image = np.zeros((1, 2, 4, 3), np.uint8)
  out = tiny.Method().predict(state, image)
  # Inverse depths 10 of the target and 8, 10, 20 and 30 of the source.
  out['depth'] = jnp.full((1, 1, 4), 655.36 / 10 - 0.01)
  out['depth_source'] = 655.36 / jnp.array([[[8.0, 10, 20, 30]]]) - 0.01
  found = blind.measure(out, blind.look_again(tiny.Method(), state, image))
  assert float(found['depth'][0]) == pytest.approx((0.8 + 1) / 4, abs=1e-4)


@pytest.mark.parametrize(
  ('classes', 'expected'),
  [
    # Certain of two classes, of one, and of nothing.
    ([[1.0, 0.0], [0.0, 1.0]], (0, 1)),
    ([[1.0, 0.0], [1.0, 0.0]], (0, 0)),
    ([[0.5, 0.5], [0.5, 0.5]], (1, 0)),
  ],
)
def test_information_of_two_images_by_hand(classes, expected):
  p = np.array(classes)
  spread = [-sum(x * np.log2(x) for x in row if x) for row in classes]
  found = blind.finish(
    {'entropy': spread, 'probability': p, 'vectors': p[:, None], 'flip': [1, 0]}
  )
  assert found['blind_entropy'] == expected[0]
  assert found['blind_information'] == pytest.approx(expected[1], abs=1e-6)
  assert found['blind_flip'] == 0.5
  assert found['blind_choice'] == pytest.approx(expected[1] / 4, abs=1e-6)


def test_of_many_pixels_some_are_taken(monkeypatch):
  p = soften(np.random.default_rng(1).normal(size=(10, 4, 3)))
  monkeypatch.setattr(blind, '_MOST', 14)
  found = blind.finish(
    {'entropy': [0.5], 'probability': p[0], 'vectors': p, 'flip': [1.0]}
  )
  expected = neighbours(p.reshape(40, 3)[::3], 0.05)
  assert found['blind_density'] == pytest.approx(expected, rel=1e-4)


LINES = [
  {'step': 1, 'blind_entropy': 0.5, 'blind_flip': 0.9, 'mIoU7': 10.0},
  {'step': 2, 'blind_entropy': 0.3, 'blind_flip': 0.7, 'mIoU7': 30.0},
  {'step': 3, 'blind_entropy': 0.3, 'blind_flip': 0.8, 'mIoU7': 20.0},
  {'step': 4, 'blind_entropy': None, 'mIoU7': 90.0},
]


def test_choice_is_of_the_best_and_of_equals_the_later():
  assert blind.choose(LINES, 'blind_entropy')['step'] == 3
  assert blind.choose(LINES, 'blind_flip')['step'] == 1
  assert blind.choose(LINES, 'mIoU7')['step'] == 4
  assert blind.choose(LINES, 'blind_depth') is None


def test_rank_correlation_by_hand():
  # 3 1 2 against 1 3 2: 1 - 6 * (4 + 4) / (3 * 8).
  assert blind.correlate(LINES, 'blind_flip', 'mIoU7') == (
    pytest.approx(-1.0),
    3,
  )
  # Low is good: 3 1.5 1.5 against 1 3 2, ties by the mean rank.
  value, count = blind.correlate(LINES, 'blind_entropy', 'mIoU7')
  assert (value, count) == (pytest.approx(1.5 / np.sqrt(3)), 3)
  assert blind.correlate(LINES[:1], 'blind_flip', 'mIoU7') == (None, 1)
  assert blind.correlate(LINES[1:3], 'blind_entropy', 'mIoU7') == (None, 2)
  assert blind.correlate([], 'blind_flip', 'mIoU7') == (None, 0)
