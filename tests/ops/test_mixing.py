import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.ops import mixing

PLAIN = mixing.Options(jitter='none', blur_probability=0.0)


def sides(rows=4):
  """Makes source images of 10, half class 0 and half 1; the target is 200."""
  label = jnp.zeros((rows, 6, 8), jnp.int32).at[:, :, 4:].set(1)
  source = {
    'image': jnp.full((rows, 6, 8, 3), 10, jnp.uint8),
    'label': label,
    'weight': jnp.ones((rows, 6, 8)),
  }
  target = {
    'image': jnp.full((rows, 6, 8, 3), 200, jnp.uint8),
    'label': jnp.full((rows, 6, 8), 3, jnp.int32),
    'weight': jnp.full((rows, 6, 8), 0.25),
  }
  return source, target


def mix(options, key=0, rows=4):
  return mixing.mix(
    jax.random.key(key), *sides(rows), classes=4, options=options
  )


def test_every_field_is_mixed_alike():
  mixed = mix(PLAIN)
  mask = np.asarray(mixed['mask'])
  # One of the two classes of each image, so one half of it.
  np.testing.assert_array_equal(mask.mean((1, 2)), 0.5)
  np.testing.assert_array_equal(
    mixed['image'], np.where(mask[..., None], 10, 200) * np.ones(3)
  )
  np.testing.assert_array_equal(mixed['weight'], np.where(mask, 1, 0.25))
  expected = np.where(mask, np.arange(8) >= 4, 3)
  np.testing.assert_array_equal(mixed['label'], expected)


def test_images_are_drawn_for_one_by_one():
  masks = np.concatenate([np.asarray(mix(PLAIN, k)['mask']) for k in range(4)])
  assert len({mask.tobytes() for mask in masks}) == 2


def test_a_batch_is_mixed_alike_on_any_number_of_devices():
  options = mixing.Options(jitter_probability=1.0, blur_probability=1.0)
  whole = mix(options)
  source, target = jax.tree.map(
    lambda x: x.reshape(2, 2, *x.shape[1:]), sides()
  )
  split = jax.vmap(
    lambda s, t: mixing.mix(
      jax.random.key(0), s, t, classes=4, options=options, axis='batch'
    ),
    axis_name='batch',
  )(source, target)
  for name, value in whole.items():
    np.testing.assert_allclose(
      np.asarray(split[name]).reshape(value.shape), value, rtol=1e-5
    )


def test_augmentation_is_gated_and_differs_between_images():
  options = mixing.Options(jitter_probability=1.0, blur_probability=0.0)
  plain, changed = (np.asarray(mix(o)['image']) for o in (PLAIN, options))
  moved = [
    len(np.unique(a[b == 200])) for a, b in zip(changed, plain, strict=True)
  ]
  assert moved == [1] * 4
  assert (
    len({float(a[b == 200][0]) for a, b in zip(changed, plain, strict=True)})
    == 4
  )
  never = mixing.Options(jitter_probability=0.0, blur_probability=0.0)
  np.testing.assert_array_equal(mix(never)['image'], plain)


def test_every_image_draws_the_order_of_its_jitter(monkeypatch):
  """Grey 0.3, + 0.2 and times 1.25, one before the other."""
  factors = {'brightness': 1.2, 'contrast': 1.25, 'saturation': 1.0, 'hue': 0.0}
  monkeypatch.setattr(
    *(mixing.augment, 'draw_jitter'),
    lambda key, strength: {k: jnp.float32(v) for k, v in factors.items()},
  )
  options = mixing.Options(jitter_probability=1.0, blur_probability=0.0)
  source, target = sides(rows=8)
  for side in (source, target):
    side['image'] = jnp.full((8, 6, 8, 3), 76.5)
  for key in range(3):
    mixed = mixing.mix(
      *(jax.random.key(key), source, target), classes=4, options=options
    )
    values = np.asarray(mixed['image'][:, 0, 0, 0]) / 255
    first = np.isclose(values, 0.625, atol=1e-5)
    np.testing.assert_allclose(values, np.where(first, 0.625, 0.575), atol=1e-5)
    assert 0 < first.sum() < 8


def test_labels_of_the_teacher_and_the_first_step_that_counts():
  logits = jnp.log(jnp.array([[0.98, 0.02], [0.5, 0.5]])).reshape(1, 1, 2, 2)
  options = mixing.Options(start_step=5)
  for step, weight in ((4, 0), (5, 0.5)):
    label, got = mixing.label_target(
      logits, step=jnp.asarray(step), options=options
    )
    np.testing.assert_array_equal(label, [[[0, 0]]])
    np.testing.assert_allclose(got, [[[weight, weight]]])


def test_an_oracle_weighs_what_is_right():
  """Classes 0, 1 and 1 are predicted; 0, 0 and none are true."""
  logits = jnp.log(jnp.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8]]))
  options = mixing.Options(weight='oracle')
  label, weight = mixing.label_target(
    logits.reshape(1, 1, 3, 2),
    step=0,
    options=options,
    truth=jnp.array([[[0, 0, 255]]]),
  )
  np.testing.assert_array_equal(label, [[[0, 1, 1]]])
  np.testing.assert_array_equal(weight, [[[1, 0, 0]]])
  assert options.target_fields == ('label',)
  for weight in ('batch', 'pixel', 'none'):
    assert mixing.Options(weight=weight).target_fields == ()


def test_sizes_must_agree():
  source, target = sides()
  target = {k: v[:, :4] for k, v in target.items()}
  with pytest.raises(errors.UserError, match='6x8 onto target images of 4x8'):
    mixing.mix(jax.random.key(0), source, target, classes=4, options=PLAIN)


@pytest.mark.parametrize(
  'fields',
  [
    {'weight': 'some'},
    {'jitter': 'kornia'},
    {'alpha': 1.5},
    {'blur_sigma': (1.0, 0.5)},
  ],
)
def test_bad_fields_are_named(fields):
  with pytest.raises(errors.UserError, match=f'mixing.{next(iter(fields))}'):
    mixing.Options(**fields)


def test_margins_have_no_weight():
  logits = jnp.zeros((2, 4, 5, 3)).at[..., 1].set(20.0)
  options = mixing.Options(margins=(1, 2, 0, 3))
  label, weight = mixing.label_target(logits, step=0, options=options)
  np.testing.assert_array_equal(label, 1)
  expected = np.zeros((2, 4, 5))
  expected[:, 1, :2] = 1
  np.testing.assert_array_equal(weight, expected)
  with pytest.raises(errors.UserError, match=r'mixing\.margins'):
    mixing.Options(margins=(1, 2))


def test_margins_of_the_image_are_cut_with_the_crop():
  whole = np.zeros((10, 12))
  whole[1:-3, 2:-4] = 1
  options = mixing.Options(
    weight='none', margins=(1, 3, 2, 4), margins_of='image'
  )
  assert options.target_fields == ('place',)
  places = [(0, 0, 0), (6, 5, 0), (0, 0, 1), (5, 6, 1)]
  expected = []
  for top, left, mirrored in places:
    cut = whole[top : top + 4, left : left + 6]
    expected.append(cut[:, ::-1] if mirrored else cut)
  _, weight = mixing.label_target(
    jnp.zeros((4, 4, 6, 2)),
    step=0,
    options=options,
    place=jnp.array([(*x, 10, 12) for x in places]),
  )
  np.testing.assert_array_equal(weight, expected)


def test_classes_of_the_batch_may_all_be_those_of_other_images():
  source, target = sides(2)
  source['label'] = source['label'].at[1].add(2)  # 0, 1 and 2, 3.
  options = dataclasses.replace(PLAIN, classes_of='batch')
  shares = []
  for i in range(12):
    mixed = mixing.mix(
      jax.random.key(i), source, target, classes=4, options=options
    )
    shares += [*np.asarray(mixed['mask']).mean((1, 2))]
  # Two of four classes: none, one or both of an image's own.
  assert set(shares) == {0, 0.5, 1}


def test_void_is_a_class_only_where_it_is_told_to_be():
  source, target = sides(rows=12)
  # Class 0 and void: one of the two is pasted, or class 0 alone.
  label = source['label'].at[:, :, 4:].set(255)
  for with_void, count in ((True, 2), (False, 1)):
    mixed = mixing.mix(
      jax.random.key(0),
      {**source, 'label': label},
      target,
      classes=4,
      options=dataclasses.replace(PLAIN, with_void=with_void),
    )
    seen = {bool(x) for x in mixed['mask'][:, 0, 0]}
    assert len(seen) == count
    np.testing.assert_array_equal(mixed['mask'].mean((1, 2)), 0.5)


def test_classes_of_the_batch_are_those_of_all_devices():
  options = dataclasses.replace(PLAIN, classes_of='batch')
  source, target = sides(rows=2)
  source['label'] = source['label'].at[1].add(2)
  split = jax.tree.map(lambda x: x[:, None], (source, target))
  for key in range(6):
    whole = mixing.mix(
      *(jax.random.key(key), source, target), classes=4, options=options
    )
    apart = jax.vmap(
      lambda s, t, key=key: mixing.mix(
        *(jax.random.key(key), s, t), classes=4, options=options, axis='batch'
      ),
      axis_name='batch',
    )(*split)
    np.testing.assert_array_equal(apart['mask'][:, 0], whole['mask'])


@pytest.mark.parametrize('strength', [0.0, 0.1, 0.5])
def test_jitter_is_as_strong_as_it_is_told_to_be(strength):
  options = mixing.Options(
    jitter='standard',
    jitter_strength=strength,
    jitter_probability=1.0,
    blur_probability=0.0,
  )
  # On grey only brightness acts, as the picture has no contrast either.
  changed = mixing.augment_images(
    jax.random.key(0),
    jnp.full((40, 1, 1, 3), 100.0),
    mixing.number_images(40),
    options,
  )
  factors = np.asarray(changed[:, 0, 0]) / 100 - 1
  assert np.abs(factors).max() <= strength + 1e-5
  assert factors.max() >= 0.8 * strength - 1e-5
  assert factors.min() <= -0.8 * strength + 1e-5


@pytest.mark.parametrize('sigma', [(0.3, 0.4), (1.0, 1.2)])
def test_blur_is_as_wide_as_it_is_told_to_be(sigma):
  options = mixing.Options(
    jitter='none', blur_sigma=sigma, blur_probability=1.0
  )
  point = jnp.zeros((30, 1, 61, 3)).at[:, :, 30].set(200.0)
  blurred = np.asarray(
    mixing.augment_images(
      jax.random.key(0), point, mixing.number_images(30), options
    )
  )[:, 0, :, 0]
  # Next to the point there is exp(-1 / 2 s^2) of what is left of it.
  found = (-2 * np.log(blurred[:, 31] / blurred[:, 30])) ** -0.5
  assert sigma[0] <= found.min() + 1e-4
  assert found.max() - 1e-4 <= sigma[1]
  # Every image has a width of its own.
  assert np.ptp(found) > 0.7 * (sigma[1] - sigma[0])


@pytest.mark.parametrize(
  'fields',
  [
    {'jitter_probability': 0.8, 'blur_probability': 0.0},
    {'jitter': 'none', 'blur_probability': 0.3},
  ],
)
def test_batches_are_changed_as_often_as_they_are_told_to_be(fields):
  options = mixing.Options(**fields)
  point = jnp.full((1, 1, 21, 3), 50.0).at[:, :, 10].set(90.0)
  changed = jax.vmap(
    lambda key: mixing.augment_images(
      key, point, mixing.number_images(1), options
    )
  )(jax.random.split(jax.random.key(0), 300))
  share = (np.abs(changed[:, 0, 0, 10, 0] - 90) > 1e-3).mean()
  expected = options.blur_probability or options.jitter_probability
  assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 300)
