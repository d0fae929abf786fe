import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.ops import masking


def test_a_mask_is_of_blocks_and_as_sparse_as_asked():
  keys = jax.random.split(jax.random.key(0), 200)
  masks = jax.vmap(
    lambda k: masking.draw_mask(k, (64, 96), block=32, ratio=0.7)
  )(keys)
  blocks = np.asarray(masks).reshape(200, 2, 32, 3, 32)
  # All pixels of a block are equal.
  np.testing.assert_array_equal(blocks.min((2, 4)), blocks.max((2, 4)))
  # 1,200 blocks: within four standard deviations of 0.3.
  assert abs(masks.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1200)


@pytest.mark.parametrize(
  ('size', 'block', 'edges'),
  [
    # round(5 / 2) = 2 cells for 5 rows, by nearest neighbour.
    ((5, 4), 2, [3, 2]),
    ((7, 4), 32, [7]),
  ],
)
def test_a_grid_that_does_not_divide_is_rounded(size, block, edges):
  seen = set()
  for seed in range(60):
    key = jax.random.key(seed)
    mask = masking.draw_mask(key, size, block=block, ratio=0.5)
    rows = np.asarray(mask[:, 0]).astype(int)
    seen |= set(np.flatnonzero(np.diff(rows)) + 1)
  assert seen == set(np.cumsum(edges)[:-1])


def test_images_are_masked_by_their_number_in_the_batch():
  image = jnp.full((2, 8, 8, 3), 200, jnp.uint8)
  options = masking.Options(block=2, ratio=0.5)
  key = jax.random.key(3)

  def masked(index):
    return masking.mask_images(
      key, image, jnp.array(index), fill=(1.0, 2.0, 3.0), options=options
    )

  both, swapped = masked([0, 1]), masked([1, 0])
  np.testing.assert_array_equal(both, swapped[::-1])
  assert (both[0] != both[1]).any()
  colours = np.unique(np.asarray(both).reshape(-1, 3), axis=0)
  np.testing.assert_array_equal(colours, [[1, 2, 3], [200, 200, 200]])


@pytest.mark.parametrize(
  'wrong', [{'weight': -1.0}, {'block': 0}, {'ratio': 1.5}]
)
def test_wrong_options(wrong):
  (name,) = wrong
  with pytest.raises(errors.UserError, match=f'masking.{name}='):
    masking.Options(**wrong)
