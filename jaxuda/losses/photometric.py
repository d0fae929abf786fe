"""Photometric losses of self-supervised depth (Monodepth2).

Godard, Mac Aodha, Firman and Brostow, "Digging into self-supervised monocular
depth estimation", ICCV 2019. Images are float [B, H, W, 3] in 0..1.
"""

from collections.abc import Sequence

import jax
from jax import lax
import jax.numpy as jnp


def _mean_3x3(x):
  """Means over 3x3 windows, with mirrored borders."""
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
  # Twice as fast on a CPU as sums of shifted slices, which XLA recomputes.
  window, stride = (1, 3, 3, 1), (1, 1, 1, 1)
  return lax.reduce_window(x, 0.0, lax.add, window, stride, 'VALID') / 9


def ssim_distance(x: jax.Array, y: jax.Array) -> jax.Array:
  """Returns the dissimilarity (1 - SSIM) / 2 over 3x3 windows, in 0..1.

  SSIM is that of Wang et al. 2004 with C1 = 0.01^2 and C2 = 0.03^2, and with
  plain means over the windows.

  Args:
    x: [B, H, W, C], H and W > 1.
    y: [B, H, W, C].

  Returns:
    [B, H, W, C].

  Example:
    Black and white have SSIM C1 / (1 + C1):

    >>> black = jnp.zeros((1, 2, 2, 1))
    >>> print(f'{ssim_distance(black, black + 1).mean():.3f}')
    0.500
  """
  mean_x, mean_y = _mean_3x3(x), _mean_3x3(y)
  var_x = _mean_3x3(x * x) - mean_x * mean_x
  var_y = _mean_3x3(y * y) - mean_y * mean_y
  covariance = _mean_3x3(x * y) - mean_x * mean_y
  c1, c2 = 0.01**2, 0.03**2
  above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
  below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
  return jnp.clip((1 - above / below) / 2, 0, 1)


def photometric_error(
  prediction: jax.Array, image: jax.Array, *, ssim_weight: float = 0.85
) -> jax.Array:
  """Returns the photometric error of eq. 2, averaged over the channels.

  It is 0.85 SSIM + 0.15 L1.

  Args:
    prediction: [B, H, W, 3], a neighbour warped to this view.
    image: [B, H, W, 3], the view itself.
    ssim_weight: weight of the SSIM term, 0..1; the L1 term has the rest.

  Returns:
    [B, H, W] in 0..1.

  Example:
    0.85 / 2 + 0.15:

    >>> black = jnp.zeros((1, 2, 2, 3))
    >>> print(f'{photometric_error(black, black + 1).mean():.3f}')
    0.575
  """
  error = (1 - ssim_weight) * jnp.abs(prediction - image)
  if ssim_weight:
    error = error + ssim_weight * ssim_distance(prediction, image)
  return jnp.mean(error, -1)


def minimum_reprojection(
  errors: Sequence[jax.Array],
  still: Sequence[jax.Array],
  *,
  noise: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns the mean over pixels of each one's smallest error (eqs. 4 and 5).

  A pixel that is occluded in one neighbour is usually visible in the other. A
  pixel that the unwarped neighbour predicts better than the warped one (an
  object that moves with the camera, or a car that stands still) counts with
  that error, which has no gradient: it is masked.

  Args:
    errors: errors of the warped neighbours, each [B, H, W].
    still: errors of the neighbours as they are, each [B, H, W]; empty for no
      mask.
    noise: [B, H, W], added to the errors in `still` to break ties; the official
      code draws it from N(0, 1e-5^2).

  Returns:
    (scalar, share of the pixels that count with a warped error).

  Example:
    The smallest errors are 1 and 3; unwarped, the second is 2:

    >>> warped = jnp.array([[[1.0, 5]]]), jnp.array([[[4.0, 3]]])
    >>> print(*minimum_reprojection(warped, [jnp.array([[[2.0, 2]]])]))
    1.5 0.5
  """
  best = _minimum(errors)
  if not still:
    return jnp.mean(best), jnp.ones((), best.dtype)
  unmoved = lax.stop_gradient(_minimum(still))
  if noise is not None:
    unmoved = unmoved + noise
  moving = best < unmoved
  return jnp.mean(jnp.where(moving, best, unmoved)), jnp.mean(moving)


def _minimum(maps):
  """Smallest of maps; the gradient goes to that one alone, as in PyTorch."""
  best = maps[0]
  for other in maps[1:]:
    best = jnp.where(other < best, other, best)
  return best


def edge_aware_smoothness(disparity: jax.Array, image: jax.Array) -> jax.Array:
  """Returns the first-order smoothness, less at edges of the image (eq. 3).

  |dx d*| exp(-|dx I|) + |dy d*| exp(-|dy I|), averaged over the pixels, with d*
  the disparity divided by its mean, so that shrinking all depths does not pay.

  Args:
    disparity: [B, h, w], > 0, h and w > 1.
    image: [B, h, w, 3].

  Returns:
    A scalar.

  Example:
    d* is 0.5 and 1.5, and the image is flat:

    >>> disparity = jnp.array([[[1.0, 3], [1, 3]]])
    >>> print(edge_aware_smoothness(disparity, jnp.zeros((1, 2, 2, 3))))
    1.0
  """
  mean = jnp.mean(disparity, (1, 2), keepdims=True)
  normal = disparity / (mean + 1e-7)
  across = jnp.abs(normal[:, :, :-1] - normal[:, :, 1:])
  down = jnp.abs(normal[:, :-1] - normal[:, 1:])
  edge_x = jnp.mean(jnp.abs(image[:, :, :-1] - image[:, :, 1:]), -1)
  edge_y = jnp.mean(jnp.abs(image[:, :-1] - image[:, 1:]), -1)
  return jnp.mean(across * jnp.exp(-edge_x)) + jnp.mean(down * jnp.exp(-edge_y))
