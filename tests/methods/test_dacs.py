"""DACS's losses and mixed images by hand; its steps are in test_recipe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuda.methods import dacs
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.ops import mixing
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

CLASSES, SIZE = 3, (2, 6, 8)
PLAIN = {'jitter': 'none', 'blur_probability': 0.0}
NET = state_lib.Net(params={}, batch_stats={}, opt_state=())
GENERATOR = np.random.default_rng(0)
LOGITS = 2 * GENERATOR.normal(size=(*SIZE, CLASSES))
LABEL = GENERATOR.choice([0, 1, 2, 255], SIZE).astype(np.int32)


def create(options=None, **fields):
  return dacs.Method(
    num_classes=CLASSES,
    total_steps=10,
    network=deeplab.Options(backbone='resnet_tiny'),
    mixing=mixing.Options(**PLAIN, **(options or {})),
    sums='device',
    **fields,
  )


@pytest.fixture(autouse=True)
def _network(monkeypatch):
  """Makes the student and the teacher return the same logits."""

  def run(*unused, **options):
    return {'logits': jnp.asarray(LOGITS, jnp.float32)}, jnp.zeros(())

  for name in ('run', 'run_on'):
    monkeypatch.setattr(learner.Learner, name, run)


def negative_logs(label):
  """Computes -log p of each pixel's class; 0 where there is none."""
  logs = special.log_softmax(LOGITS, -1)
  known = np.minimum(label, CLASSES - 1)[..., None]
  return -np.take_along_axis(logs, known, -1)[..., 0] * (label < CLASSES)


@pytest.mark.parametrize('average_all', [False, True])
def test_loss_of_the_source(average_all):
  method = create(lambda_seg=3.0, average_all=average_all)
  losses, _, maps = method.source_loss(None, None, {'label': LABEL})
  ((weight, loss),) = losses.values()
  count = LABEL.size if average_all else (LABEL < 255).sum()
  assert (weight, maps) == (3, {})
  np.testing.assert_allclose(loss, negative_logs(LABEL).sum() / count, 1e-5)


def test_loss_of_mixed_images_is_weighted_pixel_by_pixel():
  method = create(lambda_mixed=0.25)
  weight = GENERATOR.uniform(size=SIZE)
  losses, *_ = method.mixed_loss(
    None, None, {'label': LABEL, 'weight': jnp.asarray(weight)}
  )
  ((own, loss),) = losses.values()
  assert own == 0.25
  expected = (negative_logs(LABEL) * weight).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def mix(method, step, place=None):
  """Returns the mixed images and the labelled target of a step."""
  image = np.full((*SIZE, 3), 10, np.uint8)
  target = {'image': image + 90} | ({} if place is None else {'place': place})
  batch = {'source': {'image': image, 'label': LABEL}, 'target': target}
  state = state_lib.create({}, teacher=NET).replace(step=jnp.asarray(step))
  mixed, target, _ = parallel.run_alone(
    method.mix, state, batch, jax.random.key(0)
  )
  return jax.device_get((mixed, target))


def test_every_step_draws_other_classes():
  masks = [mix(create(), step)[0]['mask'] for step in (0, 1, 2, 3, 0)]
  assert len({x.tobytes() for x in masks}) > 2
  np.testing.assert_array_equal(masks[0], masks[-1])


def test_the_options_and_the_place_reach_the_pseudo_labels():
  # The whole image is 9 x 12; a margin of 2 rows at its top, 3 columns at its
  # left. The second image was cut 1 row lower and 2 columns to the right.
  method = create(
    {'threshold': 0.5, 'margins': (2, 0, 3, 0), 'margins_of': 'image'}
  )
  place = np.array([[0, 0, 0, 9, 12], [1, 2, 0, 9, 12]], np.int32)
  mixed, target = mix(method, 0, place)
  share = (special.softmax(LOGITS, -1).max(-1) >= 0.5).mean()
  assert 0.5 < share < 1
  expected = np.full(SIZE, share)
  expected[0, :2] = expected[0, :, :3] = 0
  expected[1, :1] = expected[1, :, :1] = 0
  np.testing.assert_array_equal(target['label'], LOGITS.argmax(-1))
  np.testing.assert_allclose(target['weight'], expected, rtol=1e-6)
  mask = mixed['mask']
  np.testing.assert_allclose(
    mixed['weight'], np.where(mask, 1, expected), rtol=1e-6
  )
  np.testing.assert_array_equal(
    mixed['label'], np.where(mask, LABEL, target['label'])
  )
  np.testing.assert_array_equal(mixed['image'][..., 0] == 10, mask)
