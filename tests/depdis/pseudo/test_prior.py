import numpy as np
import pytest

from jaxuda.depdis.pseudo import prior


def flood(label, least):
  """Computes the prior by hand: a stack, one patch after the other."""
  out = np.full_like(label, 255)
  seen = label == 255
  for start in zip(*np.nonzero(~seen), strict=True):
    if seen[start]:
      continue
    seen[start] = True
    stack, patch = [start], []
    while stack:
      y, x = stack.pop()
      patch.append((y, x))
      for v in range(max(0, y - 1), min(label.shape[0], y + 2)):
        for u in range(max(0, x - 1), min(label.shape[1], x + 2)):
          if not seen[v, u] and label[v, u] == label[start]:
            seen[v, u] = True
            stack.append((v, u))
    if len(patch) >= least[label[start]]:
      for place in patch:
        out[place] = label[start]
  return out


@pytest.mark.parametrize('seed', range(6))
def test_is_the_flood_fill(seed):
  rng = np.random.default_rng(seed)
  label = rng.choice([0, 1, 2, 255], (23, 31), p=[0.4, 0.3, 0.2, 0.1])
  label = label.astype(np.uint8)
  least = rng.integers(1, 30, 3)
  ours = prior.keep_patches(label, least)
  np.testing.assert_array_equal(ours, flood(label, least))
  assert ours.dtype == np.uint8
  assert (ours == 255).any()
  assert (ours != 255).any()


def test_corners_connect_and_the_threshold_itself_is_kept():
  label = np.full((4, 4), 255, np.uint8)
  label[[0, 1, 2], [0, 1, 2]] = 3
  least = np.array([9, 9, 9, 3])
  np.testing.assert_array_equal(prior.keep_patches(label, least), label)
  least[3] = 4
  assert (prior.keep_patches(label, least) == 255).all()
  nothing = np.full((4, 4), 255, np.uint8)
  np.testing.assert_array_equal(prior.keep_patches(nothing, least), nothing)


# 1 / (C f) for SYNTHIA's 16 classes, and the official code's thresholds.
WEIGHTS_16 = (
  *(0.327, 0.313, 0.206, 22.427, 22.558, 5.811, 155.643, 59.528),
  *(0.586, 0.882, 1.423, 12.871, 1.488, 3.955, 29.164, 27.563),
)
OFFICIAL_16 = (
  *(3165, 3311, 5000, 89, 89, 219, 50, 61),
  *(1788, 1202, 762, 123, 730, 302, 78, 81),
)
WEIGHTS_7 = (0.349, 0.462, 11.576, 1.325, 1.993, 3.216, 3.192)


@pytest.mark.parametrize(
  ('weights', 'base', 'extent', 'official'),
  [
    (WEIGHTS_16, 50, 4950, OFFICIAL_16),
    (WEIGHTS_7, 100, 900, (1000, 772, 100, 316, 234, 173, 173)),
    (WEIGHTS_7, 50, 50, (100, 87, 50, 62, 57, 54, 54)),
  ],
)
def test_thresholds_of_the_official_code(weights, base, extent, official):
  # The weights have three decimals, so the frequencies are not exact.
  counts = 1e9 / (len(weights) * np.array(weights))
  ours = prior.thresholds(counts, base=base, extent=extent)
  np.testing.assert_allclose(ours, official, atol=6)
  assert ours.min() == base
  assert ours.max() == base + extent


def test_thresholds_scale_and_survive_equal_counts():
  ours = prior.thresholds(np.array([7, 7]), base=10, extent=90, scale=0.5)
  np.testing.assert_array_equal(ours, [5, 5])
  ours = prior.thresholds(np.array([0, 5, 10]), base=10, extent=90, scale=0.1)
  np.testing.assert_array_equal(ours, [1, 6, 10])
