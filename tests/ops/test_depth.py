import jax.numpy as jnp
import numpy as np

from jaxuda.ops import depth


def test_inverse_depth_of_the_raw_values():
  centimetres = jnp.array([0, 100, 500, 1000, 2000, 5000, 10000, 65535.0])
  expected = [65536, 648.871, 130.810, 65.4705, 32.7516, 13.1046, 6.5529, 1]
  np.testing.assert_allclose(
    depth.invert_depth(centimetres / 100), expected, rtol=1e-5
  )


def test_restore_is_the_inverse_and_clips():
  metres = jnp.array([0.5, 1, 10, 100, 655.35])
  np.testing.assert_allclose(
    depth.restore_depth(depth.invert_depth(metres)), metres, rtol=1e-4
  )
  # Linear predictions can be negative or huge.
  clipped = depth.restore_depth(jnp.array([-5.0, 1e9]))
  np.testing.assert_allclose(clipped, [655.35, 0], atol=1e-4)
