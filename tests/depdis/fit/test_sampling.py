import numpy as np

from jaxuda.depdis.fit import sampling
from jaxuda.ops import depth
from jaxuda.ops import resize

CLASSES, GRID = 3, (4, 6)


def make_batches(rows=1, count=6):
  """Yields the same six images, in batches of `rows`."""
  rng = np.random.default_rng(0)
  shape = (count, 9, 14)
  arrays = {
    'label': rng.choice([0, 1, 2, 255], shape, p=[0.5, 0.3, 0.1, 0.1]),
    'depth': rng.uniform(1, 99, shape).astype(np.float32),
    'depth_valid': rng.uniform(size=shape) < 0.8,
  }
  for i in range(0, count, rows):
    yield {k: v[i : i + rows] for k, v in arrays.items()}


def draw(size, **changes):
  options = dict(classes=CLASSES, size=size, grid=GRID, seed=5) | changes
  return sampling.sample_pixels(make_batches(), **options)


def by_hand():
  """Collects all pixels of each class with the device's own functions."""
  points, counts = [[] for _ in range(CLASSES)], np.zeros(CLASSES, int)
  for batch in make_batches():
    label, metres, valid = (
      np.asarray(resize.resize_nearest(batch[k], GRID))[0]
      for k in ('label', 'depth', 'depth_valid')
    )
    z = np.asarray(depth.invert_depth(metres))
    for y, x in np.ndindex(GRID):
      if label[y, x] < CLASSES:
        counts[label[y, x]] += 1
        if valid[y, x]:
          points[label[y, x]].append((x, y, z[y, x]))
  return [set(p) for p in points], counts


def test_everything_is_taken_when_there_is_room():
  points, counts = by_hand()
  sample = draw(1000)
  assert [set(map(tuple, p)) for p in sample.points] == points
  np.testing.assert_array_equal(sample.counts, counts)
  assert sample.images == 6


def test_a_smaller_sample_is_a_part_and_does_not_depend_on_batches():
  points, _ = by_hand()
  sample = draw(10)
  for part, whole in zip(sample.points, points, strict=True):
    assert len(part) == min(10, len(whole))
    assert set(map(tuple, part)) <= whole
  other = sampling.sample_pixels(
    make_batches(rows=3), classes=CLASSES, size=10, grid=GRID, seed=5
  )
  for a, b in zip(sample.points, other.points, strict=True):
    np.testing.assert_array_equal(a, b)
  different = draw(10, seed=6)
  assert set(map(tuple, different.points[0])) != set(
    map(tuple, sample.points[0])
  )


def test_every_pixel_is_as_likely():
  # In 300 draws, a pixel of class 0 occurs as often as its share predicts.
  points, _ = by_hand()
  taken = dict.fromkeys(points[0], 0)
  for seed in range(300):
    for point in draw(10, seed=seed).points[0]:
      taken[tuple(point)] += 1
  expected = 300 * 10 / len(taken)
  # Six standard deviations of a binomial.
  spread = 6 * np.sqrt(expected * (1 - 10 / len(taken)))
  assert max(abs(n - expected) for n in taken.values()) < spread
