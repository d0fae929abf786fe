import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.ops import image


def test_caffe_convention_reverses_channels_and_subtracts():
  rgb = jnp.array([[[[10, 20, 30]]]], jnp.uint8)
  out = image.normalize_image(rgb)
  np.testing.assert_allclose(
    out.ravel(),
    [30 - 104.00698793, 20 - 116.66876762, 10 - 122.67891434],
    rtol=1e-6,
  )


def test_rgb_with_scale():
  rgb = jnp.array([[[[10, 20, 30]]]], jnp.uint8)
  out = image.normalize_image(
    rgb, order='rgb', mean=(10, 10, 10), scale=(1, 2, 0.5), dtype=jnp.bfloat16
  )
  assert out.dtype == jnp.bfloat16
  np.testing.assert_array_equal(out.astype(jnp.float32).ravel(), [0, 20, 10])


def test_offsets_are_multiples_of_8_but_for_the_last():
  # For a margin of 512 pixels 0, 8, ..., 504; for one of 20, 0 and 8.
  keys = jax.random.split(jax.random.key(0), 1500)
  draw = jax.vmap(
    lambda key: image.draw_box(key, (1024, 532), (512, 512), step=8)
  )
  top, left = np.asarray(draw(keys)).T
  assert set(top) == set(range(0, 505, 8))
  assert set(left) == {0, 8}
  np.testing.assert_allclose((left == 0).mean(), 0.5, atol=0.06)
  assert len(set(zip(top, left, strict=True))) > 64


def test_a_crop_is_put_where_it_was_cut():
  x = jnp.arange(1.0, 31).reshape(1, 5, 6, 1)
  box = jnp.array([2, 3])
  part = image.cut_box(x, box, (2, 3))
  np.testing.assert_array_equal(part[0, ..., 0], [[16, 17, 18], [22, 23, 24]])
  back = np.asarray(image.insert_box(part, box, (5, 6)))
  np.testing.assert_array_equal(back[:, 2:4, 3:], part)
  assert back.sum() == part.sum()


def test_windows_that_meet_are_averaged():
  places = [(0, 0), (0, 3), (2, 0), (2, 3)]
  x = jnp.arange(2 * 4 * 5.0).reshape(2, 4, 5)
  cut = image.cut_windows(x, places, (2, 2))
  assert cut.shape == (8, 2, 2)
  np.testing.assert_array_equal(cut[2:4], x[:, :2, 3:])
  total, count = np.zeros((2, 4, 6)), np.zeros((4, 6))
  parts = np.arange(4 * 2 * 3 * 4.0).reshape(8, 3, 4)
  places = [(0, 0), (0, 2), (1, 0), (1, 2)]
  for i, (top, left) in enumerate(places):
    total[:, top : top + 3, left : left + 4] += parts[2 * i : 2 * i + 2]
    count[top : top + 3, left : left + 4] += 1
  assert count.max() == 4
  found = image.average_windows(jnp.asarray(parts), places, (4, 6))
  np.testing.assert_allclose(found, total / count)
