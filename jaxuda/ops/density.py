"""Depth distributions: a class's Gaussian mixture over (x, y, inverse depth).

Depth Distribution (Wu & Liu, NeurIPS 2022) describes with a mixture per class
where in the image and at what depth the class appears, and regresses its
density. x and y are pixel indices on the network's output grid, z is inverse
depth (see `ops.depth`): nothing is normalised, as in the official code.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# That of the official code's mapping, whose grids have 96x161 pixels.
SHARPNESS = 1e6

# The log of a weight of 0: finite, so that gradients are 0 rather than NaN.
_NEVER = -1e30


class Table(NamedTuple):
  """Mixtures in the form that the device evaluates, made by `tabulate`.

  Attributes:
    high, low: [C, K, 3]; their sum is the mean of a component.
    whiten: [C, K, 3, 3]; (v - mean) @ whiten has unit covariance.
    offset: [C, K], the log of a component's weight times its normaliser.
  """

  high: np.ndarray
  low: np.ndarray
  whiten: np.ndarray
  offset: np.ndarray


def tabulate(
  weights: np.ndarray,
  means: np.ndarray,
  covariances: np.ndarray,
  *,
  dtype: Any = np.float32,
) -> Table:
  """Prepares mixtures on the host, in float64, for use in `dtype`.

  A mean is kept as two numbers: near 655.36 float32 has steps of 6e-5, and a
  component may be 1e-3 wide.

  Args:
    weights: [C, K], >= 0. A class whose weights are all 0 has density 0.
    means: [C, K, 3] of x, y, z.
    covariances: variances [C, K, 3] > 0, or positive definite [C, K, 3, 3].
    dtype: type of the table's entries.

  Example:
    >>> table = tabulate([[1.0]], [[[0, 0, 5]]], [[[1, 1, 4]]])
    >>> print(table.high[0, 0], np.diag(table.whiten[0, 0]))
    [0. 0. 5.] [1.  1.  0.5]
  """
  means = np.asarray(means, np.float64)
  covariances = np.asarray(covariances, np.float64)
  if covariances.ndim == 3:
    whiten = np.eye(3) / np.sqrt(covariances)[..., None, :]
  else:
    # covariance = L L', so that L^-1 (v - mean) is white.
    lower = np.linalg.cholesky(covariances)
    whiten = np.swapaxes(np.linalg.inv(lower), -1, -2)
  diagonal = np.diagonal(whiten, axis1=-2, axis2=-1)
  with np.errstate(divide='ignore'):
    offset = np.log(weights) + np.log(diagonal).sum(-1)
  offset = offset - 1.5 * np.log(2 * np.pi)
  high = means.astype(dtype)
  return Table(
    high=high,
    low=(means - high.astype(np.float64)).astype(dtype),
    whiten=whiten.astype(dtype),
    offset=np.maximum(offset, _NEVER).astype(dtype),
  )


def grid_points(
  inverse: jax.Array, *, scale: Sequence[float] = (1.0, 1.0)
) -> jax.Array:
  """Combines inverse depth with the coordinates of its pixel grid.

  Args:
    inverse: [B, h, w], inverse depth.
    scale: factors of the row and of the column index; 1 in the official code,
      whose grids all have one size.

  Returns:
    [B, h, w, 3] of x, y, z.

  Example:
    >>> print(grid_points(jnp.array([[[7.0, 8.0]]])))
    [[[[0. 0. 7.]
       [1. 0. 8.]]]]
  """
  shape, dtype = inverse.shape, inverse.dtype
  y = scale[0] * jax.lax.broadcasted_iota(dtype, shape, 1)
  x = scale[1] * jax.lax.broadcasted_iota(dtype, shape, 2)
  return jnp.stack([x, y, inverse], -1)


def log_density(table: Table, points: jax.Array, label: jax.Array) -> jax.Array:
  """Returns the log density of each point under the mixture of its own class.

  It is log sum_k w_k N(v; mean_k, covariance_k).

  Args:
    table: mixtures of C classes.
    points: [..., 3], float32 or better.
    label: int [...] in 0..C-1.

  Returns:
    [...]; about -1e30 for a class without a mixture.

  Example:
    A Gaussian of variance 1 / (2 pi) has density exp(-pi r^2) at distance r:

    >>> table = tabulate([[1]], [[[0, 0, 0]]], np.full((1, 1, 3), 0.5 / np.pi))
    >>> points = jnp.array([[0.0, 0, 0], [0, 1, 0]])
    >>> log_p = log_density(table, points, jnp.array([0, 0]))
    >>> print([f'{x:.2f}' for x in log_p])
    ['0.00', '-3.14']
  """
  chosen = Table(*(jnp.asarray(x, points.dtype)[label] for x in table))
  return _log_density(chosen, points)


def log_densities(table: Table, points: jax.Array) -> jax.Array:
  """Returns the log density under every class, see `log_density`.

  Args:
    table: mixtures of C classes.
    points: [..., C, 3], the point as each class sees it, or [..., 1, 3], one
      for all classes.

  Returns:
    [..., C].

  Example:
    The second class lies one to the right of the first:

    >>> means = [[[0, 0, 0]], [[1, 0, 0]]]
    >>> table = tabulate([[1], [1]], means, np.full((2, 1, 3), 0.5 / np.pi))
    >>> print([f'{x:.2f}' for x in log_densities(table, jnp.zeros((1, 3)))])
    ['0.00', '-3.14']
  """
  lead = (1,) * (points.ndim - 2)
  every = Table(
    *(jnp.asarray(x, points.dtype).reshape(*lead, *x.shape) for x in table)
  )
  return _log_density(every, points)


def _log_density(table, points):
  """Log density of points [..., 3] under mixtures [..., K, ...]."""
  # Two subtractions of nearby numbers, both of them exact. Without the barrier
  # XLA may fold the two means back into one.
  offset = points[..., None, :] - table.high
  offset = jax.lax.optimization_barrier(offset) - table.low
  # Not a matrix product, for which GPUs would use TF32.
  white = jnp.sum(offset[..., :, None] * table.whiten, -2)
  square = jnp.sum(jax.lax.square(white), -1)
  return jax.nn.logsumexp(table.offset - square / 2, -1)


def map_density(
  log_p: jax.Array,
  *,
  mapping: str = 'exponential',
  sharpness: float = SHARPNESS,
) -> jax.Array:
  """Turns log densities into the values that the density branch regresses.

  Args:
    log_p: [...], log densities.
    mapping: 'exponential': 255 (1 - exp(-s p)) in 0..255, which the official
      code has and the paper does not mention; 'plain': p itself, which is of
      the order of 1e-6 on the official grid.
    sharpness: s, > 0; 1e6 in the official code, for grids of 96x161 pixels. The
      fewer pixels there are, the greater the density per pixel.

  Returns:
    [...], >= 0.

  Example:
    >>> log_p = jnp.array([-jnp.inf, 0.0])
    >>> print(map_density(log_p), map_density(log_p, sharpness=np.log(2)))
    [  0. 255.] [  0.  127.5]
  """
  if mapping == 'plain':
    return jnp.exp(log_p)
  return -255.0 * jnp.expm1(-jnp.exp(log_p + np.log(sharpness)))


def greatest_density(mapping: str, *, sharpness: float = SHARPNESS) -> float:
  """Returns the mapped density that a picture shows as 1.

  For 'exponential' it is the bound; for 'plain' it is the density at which the
  exponential mapping has reached 1 - 1/e of its bound.

  Args:
    mapping: see `map_density`.
    sharpness: see there.

  Example:
    >>> greatest_density('exponential'), greatest_density('plain')
    (255.0, 1e-06)
  """
  return 255.0 if mapping == 'exponential' else 1 / sharpness


def true_density(
  table: Table,
  label: jax.Array,
  inverse: jax.Array,
  *,
  scale: Sequence[float] = (1.0, 1.0),
  **mapped: Any,
) -> jax.Array:
  """Returns the true class's density at the true depth: nothing is predicted.

  Args:
    table: mixtures of C classes.
    label: int [B, h, w], true class; 255 for none.
    inverse: [B, h, w], true inverse depth.
    scale: see `grid_points`.
    **mapped: see `map_density`.

  Returns:
    [B, h, w]; 0 where there is no class.

  Example:
    >>> table = tabulate([[1]], [[[0, 0, 5]]], np.full((1, 1, 3), 0.5 / np.pi))
    >>> args = table, jnp.array([[[0], [255]]]), jnp.full((1, 2, 1), 5.0)
    >>> print(true_density(*args, mapping='plain').ravel().round())
    [1. 0.]
  """
  known = (label >= 0) & (label < len(table.offset))
  points = grid_points(inverse, scale=scale)
  log_p = log_density(table, points, jnp.where(known, label, 0))
  return jnp.where(known, map_density(log_p, **mapped), 0)


def source_density(
  table: Table,
  logits: jax.Array,
  inverse: jax.Array,
  label: jax.Array,
  *,
  mask_wrong: bool = True,
  soft: bool = False,
  scale: Sequence[float] = (1.0, 1.0),
  **mapped: Any,
) -> jax.Array:
  """Returns the density of the predicted class at the true depth.

  Args:
    table: mixtures of C classes.
    logits: [B, h, w, C].
    inverse: [B, h, w], true inverse depth.
    label: int [B, h, w], true class; 255 for none.
    mask_wrong: take 0 for the depth where the prediction is wrong, as the
      official code does (it stores each class's maps with the depth of that
      class's pixels only); False takes the true depth everywhere, as in the
      paper's text.
    soft: instead of taking the predicted class, average over all classes
      weighted by their probabilities, which passes a gradient into the logits.
    scale: see `grid_points`.
    **mapped: see `map_density`.

  Returns:
    [B, h, w].

  Example:
    One class, whose density at (0, 0, 5) is 1; the second pixel has no class,
    so its depth counts as 0:

    >>> table = tabulate([[1]], [[[0, 0, 5]]], np.full((1, 1, 3), 0.5 / np.pi))
    >>> inverse, label = jnp.full((1, 2, 1), 5.0), jnp.array([[[0], [255]]])
    >>> args = table, jnp.zeros((1, 2, 1, 1)), inverse, label
    >>> print(source_density(*args, mapping='plain').ravel().round())
    [1. 0.]
  """
  if soft:
    # What each class sees, [B, h, w, C].
    inverse, label = inverse[..., None], label[..., None]
    ids = jnp.arange(logits.shape[-1]).reshape(1, 1, 1, -1)
    inverse = jnp.where(label == ids, inverse, 0 if mask_wrong else inverse)
    points = jax.vmap(
      lambda z: grid_points(z, scale=scale), in_axes=-1, out_axes=-2
    )(inverse)
    log_p = _expect(table, logits, points)
  else:
    predicted = jnp.argmax(logits, -1)
    if mask_wrong:
      inverse = jnp.where(label == predicted, inverse, 0)
    points = grid_points(inverse, scale=scale)
    log_p = log_density(table, points, predicted)
  return map_density(log_p, **mapped)


def target_density(
  table: Table,
  logits: jax.Array,
  inverse: jax.Array,
  *,
  soft: bool = False,
  scale: Sequence[float] = (1.0, 1.0),
  **mapped: Any,
) -> jax.Array:
  """Returns the density of the predicted class at the predicted depth.

  Args:
    table: mixtures of C classes.
    logits: [B, h, w, C].
    inverse: [B, h, w], predicted inverse depth.
    soft: see `source_density`.
    scale: see `grid_points`.
    **mapped: see `map_density`.

  Returns:
    [B, h, w]; 0 where the depth is not positive.

  Example:
    >>> table = tabulate([[1]], [[[0, 0, 5]]], np.full((1, 1, 3), 0.5 / np.pi))
    >>> args = table, jnp.zeros((1, 2, 1, 1)), jnp.array([[[5.0], [-5.0]]])
    >>> print(target_density(*args, mapping='plain').ravel().round())
    [1. 0.]
  """
  points = grid_points(inverse, scale=scale)
  if soft:
    log_p = _expect(table, logits, points[..., None, :])
  else:
    log_p = log_density(table, points, jnp.argmax(logits, -1))
  density = map_density(log_p, **mapped)
  return jnp.where(inverse > 0, density, 0)


def _expect(table, logits, points):
  """Log of the mean density over the classes."""
  log_share = jax.nn.log_softmax(logits, -1)
  return jax.nn.logsumexp(log_share + log_densities(table, points), -1)
