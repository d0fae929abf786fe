"""Views of one scene from several cameras: motion, projection, sampling.

Cameras are pinholes with pixel centres at whole numbers, (0, 0) at the top
left, x to the right, y down, z along the optical axis. Intrinsics are float
[B, 4]: focal lengths fx and fy, cx, cy in pixels. A motion is float [B, 4, 4]
and maps points of one camera's frame to another's.
"""

import jax
import jax.numpy as jnp


def rigid_motion(axis_angle: jax.Array, translation: jax.Array) -> jax.Array:
  """Returns the motion that rotates (Rodrigues) and then translates.

  Args:
    axis_angle: [B, 3], the axis times the angle in radians.
    translation: [B, 3], in the unit of the points.

  Returns:
    [B, 4, 4].

  Example:
    A quarter turn about z takes x to y:

    >>> turn, move = jnp.array([[0, 0, jnp.pi / 2]]), jnp.array([[1.0, 2, 3]])
    >>> print(rigid_motion(turn, move)[0] @ jnp.array([1.0, 0, 0, 1]))
    [1. 3. 3. 1.]
  """
  # The square root has no gradient at 0.
  square = jnp.sum(axis_angle**2, -1) + 1e-14
  angle = jnp.sqrt(square)
  a = (jnp.sin(angle) / angle)[:, None, None]
  b = ((1 - jnp.cos(angle)) / square)[:, None, None]
  cross = _cross_matrix(axis_angle)
  eye = jnp.eye(3, dtype=axis_angle.dtype)[None]
  rotation = eye + a * cross + b * (cross @ cross)
  return _join(rotation, translation)


def _cross_matrix(v):
  x, y, z = v[:, 0], v[:, 1], v[:, 2]
  zero = jnp.zeros_like(x)
  rows = [(zero, -z, y), (z, zero, -x), (-y, x, zero)]
  return jnp.stack([jnp.stack(row, -1) for row in rows], 1)


def _join(rotation, translation):
  top = jnp.concatenate([rotation, translation[..., None]], -1)
  last = jnp.zeros_like(top[:, :1]).at[..., 3].set(1)
  return jnp.concatenate([top, last], 1)


def invert_motion(motion: jax.Array) -> jax.Array:
  """Returns the inverse of a motion, both [B, 4, 4].

  Example:
    >>> motion = rigid_motion(jnp.zeros((1, 3)), jnp.array([[1.0, 2, 3]]))
    >>> print(invert_motion(motion)[0, :3, 3])
    [-1. -2. -3.]
  """
  rotation = jnp.swapaxes(motion[:, :3, :3], 1, 2)
  translation = -(rotation @ motion[:, :3, 3:])[..., 0]
  return _join(rotation, translation)


def project_depth(
  depth: jax.Array, intrinsics: jax.Array, motion: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Projects the pixels of one view into another.

  Args:
    depth: [B, H, W] along the optical axis of the first view, > 0, in the unit
      of the motion's translation.
    intrinsics: [B, 4], of both views.
    motion: [B, 4, 4], from the first view's frame to the second's.

  Returns:
    (pixels [B, H, W, 2], column and row in the second view; depth [B, H, W] in
    the second view). Where that depth is not positive, the point lies behind
    the camera and its pixel is meaningless.

  Example:
    A point 4 away moves by fx * 1 / 4 pixels:

    >>> motion = rigid_motion(jnp.zeros((1, 3)), jnp.array([[1.0, 0, 0]]))
    >>> intrinsics = jnp.array([[2.0, 2, 0, 0]])
    >>> print(*project_depth(jnp.array([[[4.0]]]), intrinsics, motion))
    [[[[0.5 0. ]]]] [[[4.]]]
  """
  height, width = depth.shape[1:]
  fx, fy, cx, cy = (intrinsics[:, i, None, None] for i in range(4))
  rows = jnp.arange(height, dtype=depth.dtype)[None, :, None]
  columns = jnp.arange(width, dtype=depth.dtype)[None, None, :]
  x, y = (columns - cx) / fx, (rows - cy) / fy
  # The second view's point is depth * (R ray) + t.
  m = motion[:, :3, :, None, None]
  point = [
    depth * (m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2]) + m[:, i, 3]
    for i in range(3)
  ]
  z = point[2]
  safe = jnp.where(z > 1e-3, z, 1e-3)
  pixels = jnp.stack([fx * point[0] / safe + cx, fy * point[1] / safe + cy], -1)
  return pixels, z


def sample_bilinear(image: jax.Array, pixels: jax.Array) -> jax.Array:
  """Samples an image bilinearly; beyond the border it takes the border's value.

  The same as PyTorch's grid_sample with padding_mode='border' and
  align_corners=True.

  Args:
    image: float [B, H, W, C].
    pixels: [B, h, w, 2], column and row.

  Returns:
    [B, h, w, C].

  Example:
    >>> image = jnp.array([0.0, 10.0]).reshape(1, 1, 2, 1)
    >>> pixels = jnp.array([[[[0.25, 0], [7, 0]]]])
    >>> print(sample_bilinear(image, pixels).ravel())
    [ 2.5 10. ]
  """
  batch, height, width, channels = image.shape
  x = jnp.clip(pixels[..., 0], 0, width - 1)
  y = jnp.clip(pixels[..., 1], 0, height - 1)
  # At the far border the cell is the last one and the weight 1.
  left = jnp.clip(jnp.floor(x), 0, max(width - 2, 0))
  top = jnp.clip(jnp.floor(y), 0, max(height - 2, 0))
  wx, wy = (x - left)[..., None], (y - top)[..., None]
  # Each row of the table holds the four corners of a cell: one gather of wide
  # rows is several times faster on a CPU than four of narrow ones.
  padded = jnp.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)), mode='edge')
  table = jnp.concatenate(
    [padded[:, i : height + i, j : width + j] for i in (0, 1) for j in (0, 1)],
    -1,
  ).reshape(batch * height * width, 4 * channels)
  start = jnp.arange(batch, dtype=jnp.int32)[:, None, None] * (height * width)
  cell = start + top.astype(jnp.int32) * width + left.astype(jnp.int32)
  corners = table.at[cell.reshape(-1)].get(mode='promise_in_bounds')
  corners = corners.reshape(*cell.shape, 4, channels)
  upper = corners[..., 0, :] * (1 - wx) + corners[..., 1, :] * wx
  lower = corners[..., 2, :] * (1 - wx) + corners[..., 3, :] * wx
  return upper * (1 - wy) + lower * wy
