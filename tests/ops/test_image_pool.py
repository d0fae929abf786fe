import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.ops import depth
from jaxuda.ops import guidance
from jaxuda.ops import image as image_ops
from jaxuda.ops import image_pool


def _image(value):
  return jnp.full((1, 2, 1, 1), value, jnp.float32)


def test_pool_fills_up_first_and_then_gives_back():
  pool = image_pool.empty(2, jnp.zeros((2, 1, 1)))
  keys = jax.random.split(jax.random.key(0), 40)
  stored, swapped = [], 0
  for i, key in enumerate(keys):
    pool, out = image_pool.exchange(key, pool, _image(i))
    value = int(out[0, 0, 0, 0])
    if i < 2:
      assert value == i
      stored.append(i)
    elif value != i:
      # The returned image was in the pool, and the new one replaced it.
      stored[stored.index(value)] = i
      swapped += 1
    assert sorted(np.asarray(pool.images)[: len(stored), 0, 0, 0]) == sorted(
      stored
    )
  assert int(pool.count) == 2
  assert 10 < swapped < 28


def test_a_batch_is_exchanged_one_by_one():
  pool = image_pool.empty(3, jnp.zeros((2, 1, 1)))
  images = jnp.concatenate([_image(i) for i in range(3)])
  pool, out = image_pool.exchange(jax.random.key(1), pool, images)
  np.testing.assert_array_equal(out, images)
  np.testing.assert_array_equal(pool.images, images)


def test_a_pool_of_integers_gives_back_what_it_was_given():
  """To half a step of 1 / 32767; images passed through are not rounded."""
  images = jax.random.uniform(jax.random.key(3), (60, 1, 1, 1), minval=-1)
  images = images.at[:2, 0, 0, 0].set(jnp.array([-1, 1]))
  pools = [image_pool.empty(3, jnp.zeros((1, 1, 1), x)) for x in ('f4', 'i2')]
  (exact, expected), (packed, out) = (
    image_pool.exchange(jax.random.key(4), pool, images) for pool in pools
  )
  assert packed.images.dtype == jnp.int16
  assert out.dtype == images.dtype
  passed_on = np.asarray(expected == images)
  assert 20 < passed_on.sum() < 45
  np.testing.assert_array_equal(out[passed_on], images[passed_on])
  np.testing.assert_allclose(out, expected, rtol=0, atol=1.6e-5)
  np.testing.assert_allclose(
    packed.images / 32767, exact.images, rtol=0, atol=1.6e-5
  )


def test_devices_share_a_pool():
  pool = image_pool.empty(4, jnp.zeros((2, 1, 1)))
  images = jnp.arange(4.0).reshape(2, 2, 1, 1, 1) * jnp.ones((2, 2, 2, 1, 1))
  pools, out = jax.vmap(
    lambda x: image_pool.exchange_over_devices(
      jax.random.key(2), pool, x, axis='batch'
    ),
    axis_name='batch',
  )(images)
  np.testing.assert_array_equal(out, images)
  np.testing.assert_array_equal(pools.images[0], pools.images[1])
  np.testing.assert_array_equal(pools.images[0, :, 0, 0, 0], [0, 1, 2, 3])


def test_inputs_of_the_transform_network():
  image = jnp.array([0, 255, 127.5]).reshape(1, 1, 1, 3)
  image = jnp.concatenate([image, image], 2)
  label = jnp.array([[[1, 255]]])
  value = jnp.array([[[0.2, 0.4]]])
  maps = guidance.stack_inputs(image, label=label, depth=value, classes=2)
  np.testing.assert_allclose(maps[0, 0, 0], [-1, 1, 0, 0, 1, 0.2], rtol=1e-6)
  np.testing.assert_allclose(maps[0, 0, 1], [-1, 1, 0, 0, 0, 0.4], rtol=1e-6)
  assert guidance.stack_inputs(image).shape == (1, 1, 2, 3)
  np.testing.assert_allclose(
    image_ops.from_symmetric(image_ops.to_symmetric(image)), image, atol=1e-4
  )


def test_depth_between_0_and_1():
  metres = jnp.array([0.0, 65.535, 655.35, 1000.0])
  linear = depth.Scale(encoding='linear', near=0.0, far=655.35)
  np.testing.assert_allclose(linear.encode(metres), [0, 0.1, 1, 1], rtol=1e-6)
  np.testing.assert_allclose(
    linear.decode(jnp.array([-1, 0.1, 2])), [0, 65.535, 655.35], rtol=1e-6
  )
  inverse = depth.Scale(encoding='inverse', near=1.99, far=655.35)
  # 655.36 / (m + 0.01) is 1, 65.536 and 327.68.
  metres = jnp.array([655.35, 9.99, 1.99, 0.5])
  expected = [0, 64.536 / 326.68, 1, 1]
  np.testing.assert_allclose(inverse.encode(metres), expected, rtol=1e-4)
  back = inverse.decode(inverse.encode(metres))
  np.testing.assert_allclose(back, [655.35, 9.99, 1.99, 1.99], rtol=1e-3)
