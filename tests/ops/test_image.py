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
