"""Masked images: missing blocks that a network must infer, as in MIC.

Hoyer, Dai, Wang and Van Gool, CVPR 2023, "MIC: Masked Image Consistency for
Context-Enhanced Domain Adaptation" (https://arxiv.org/abs/2212.01322). The
student sees a target image with most blocks missing, and learns the label that
the teacher gives the whole image.
"""

from collections.abc import Sequence
import dataclasses

import jax
import jax.numpy as jnp

from jaxuda import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Options of masked image consistency (`config.masking`).

  Attributes:
    weight: weight of the loss on masked images; 0, as in the papers of DACS and
      CorDA, leaves the pass out; 1 in MIC.
    block: side of a block in pixels, at least 1; 64 in MIC at 1024x1024, 32 at
      512x512.
    ratio: probability that a block is missing, 0..1.
    augment: jitter and blur the image first, with a draw of its own, as MIC
      does for adaptation from synthetic to real images.
  """

  weight: float = 0.0
  block: int = 32
  ratio: float = 0.7
  augment: bool = True

  def __post_init__(self):
    ranges = {'weight': (0, None), 'ratio': (0, 1), 'block': (1, None)}
    errors.check_ranges(self, ranges, group='masking')


def draw_mask(
  key: jax.Array, size: Sequence[int], *, block: int, ratio: float
) -> jax.Array:
  """Draws which pixels of one image are kept.

  A grid of round(H / block) x round(W / block) cells, at least one, is enlarged
  to the image by nearest neighbours.

  Args:
    key: typed key.
    size: (H, W) of the image.
    block: side of a block in pixels.
    ratio: probability that a block is missing, 0..1.

  Returns:
    bool [H, W], False where the image is missing.

  Example:
    >>> mask = draw_mask(jax.random.key(1), (2, 6), block=2, ratio=0.5)
    >>> print(mask.astype(int))
    [[0 0 1 1 0 0]
     [0 0 1 1 0 0]]
  """
  grid = [max(1, round(side / block)) for side in size]
  kept = jax.random.uniform(key, grid) > ratio
  rows, columns = (
    jnp.arange(side) * cells // side
    for side, cells in zip(size, grid, strict=True)
  )
  return kept[rows[:, None], columns[None, :]]


def mask_images(
  key: jax.Array,
  image: jax.Array,
  index: jax.Array,
  *,
  fill: Sequence[float],
  options: Options,
) -> jax.Array:
  """Masks blocks of images, with a separate draw for each.

  Args:
    key: typed key of the step, the same on every device.
    image: [B, H, W, 3] RGB in 0..255.
    index: int [B], the images' numbers in the batch over all devices.
    fill: RGB, 0..255, of missing pixels: the colour that the network's
      normalisation maps to 0.
    options: see `Options`.

  Returns:
    [B, H, W, 3], float32 or better.

  Example:
    >>> image = jnp.ones((1, 1, 1, 3))
    >>> key, first = jax.random.key(0), jnp.array([0])
    >>> fill, options = (7, 8, 9), Options(ratio=1.0)
    >>> print(mask_images(key, image, first, fill=fill, options=options))
    [[[[7. 8. 9.]]]]
  """
  keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
  size = image.shape[1:3]
  kept = jax.vmap(
    lambda k: draw_mask(k, size, block=options.block, ratio=options.ratio)
  )(keys)
  image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
  missing = jnp.asarray(fill, image.dtype).reshape(1, 1, 1, 3)
  return jnp.where(kept[..., None], image, missing)
