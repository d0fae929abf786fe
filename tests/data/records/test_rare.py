import collections

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.pixels import transforms
from jaxuda.data.records import rare
from tests.data import miniature

# Images by class: 0 everywhere, 1 in half of them, 2 in one.
COUNTS = np.array([[900, 100, 0], [950, 50, 0], [1000, 0, 0], [960, 0, 40]])


def make_sampler(**changes):
  options = {'temperature': 0.1, 'least': 20, 'seed': 5, **changes}
  return rare.Sampler(COUNTS, **options)


def test_probabilities_are_the_softmax_of_the_paper():
  sampler = make_sampler()
  f = np.array([3810, 150, 40]) / 4000
  np.testing.assert_allclose(sampler.frequencies, f)
  expected = np.exp((1 - f) / 0.1)
  np.testing.assert_allclose(
    sampler.probabilities, expected / expected.sum(), rtol=1e-12
  )


def test_draws_have_these_probabilities_and_images_of_their_class():
  sampler = make_sampler(temperature=1.0)
  draws = [sampler.draw(i) for i in range(3000)]
  counts = collections.Counter(chosen for chosen, _ in draws)
  observed = [counts[c] for c in range(3)]
  result = scipy.stats.chisquare(observed, 3000 * sampler.probabilities)
  assert result.pvalue > 1e-3
  # The two images of class 1 are equally likely.
  images = collections.Counter(image for chosen, image in draws if chosen == 1)
  assert images.keys() == {0, 1}
  assert scipy.stats.chisquare(list(images.values())).pvalue > 1e-3
  assert {image for chosen, image in draws if chosen == 2} == {3}


def test_a_class_that_no_image_has_enough_of_is_never_drawn():
  sampler = make_sampler(least=60)
  assert sampler.probabilities[2] == 0
  assert {sampler.draw(i)[1] for i in range(200) if sampler.draw(i)[0]} == {0}
  with pytest.raises(errors.UserError, match=r'rare_pixels=1000.*than 1000'):
    make_sampler(least=1000)


def test_draws_are_functions_of_seed_and_sample():
  first, again, other = make_sampler(), make_sampler(), make_sampler(seed=6)
  draws = [[x.draw(i) for i in range(50)] for x in (first, again, other)]
  assert draws[0] == draws[1] != draws[2]
  assert first.draw(49) == draws[0][49]


def test_classes_are_counted_by_the_table():
  raw = np.zeros((2, 256), np.int64)
  raw[0, [3, 7, 9]] = 5, 6, 7
  raw[1, 9] = 1
  table = np.full(256, 255)
  table[[3, 7, 8]] = 0, 0, 1
  np.testing.assert_array_equal(
    rare.count_classes(raw, table), [[11, 0], [0, 0]]
  )


def test_crops_are_drawn_until_one_has_the_class():
  label = np.zeros((40, 40), np.int32)
  label[30:, 30:] = 1

  def draw(seed):
    return transforms.draw_window(seed, (40, 40), crop=(10, 10), flip=True)

  def share(least):
    found = 0
    for sample in range(40):
      seed = tf.constant([3, sample], tf.int64)
      window = rare.draw_window(
        seed, tf.constant(label), tf.constant(1), draw=draw, least=least
      )
      cut = transforms.cut_window(tf.constant(label), window).numpy()
      found += cut.sum() > max(least, 0)
      if least < 0:
        # Any crop will do: the first one, as without rare classes.
        assert [int(x) for x in (window.top, window.left, window.mirrored)] == [
          int(x) for x in (draw(seed).top, draw(seed).left, draw(seed).mirrored)
        ]
    return found

  # One crop in nine touches it, and more than half of eleven tries do.
  once, often = share(-1), share(0)
  assert once < 12
  assert often > 20


@pytest.mark.parametrize('rule', ['draw_window', 'draw_varied'])
@pytest.mark.parametrize('good', [0, 3, 9, 10, None])
def test_ten_crops_are_looked_at_and_the_next_is_taken(rule, good):
  """Checks against the loop of the official code, repeated here."""
  # The n-th crop that is drawn begins in column n; that of number `good` has
  # both classes, all others one.
  label = np.zeros((1, 30), np.int32)
  if good is not None:
    label[0, 2 * good] = 1
  drawn = []

  def draw(seed):
    tried = int(seed[1]) >> (44 if rule == 'draw_varied' else 40)
    drawn.append(tried)
    where = {'top': tf.constant(0), 'mirrored': tf.constant(False)}
    return transforms.Window(left=tf.constant(2 * tried), size=(1, 2), **where)

  seed = tf.constant([3, 0], tf.int64)
  if rule == 'draw_varied':
    found = rare.draw_varied(seed, tf.constant(label), draw=draw, most=0.75)
  else:
    found = rare.draw_window(
      *(seed, tf.constant(label), tf.constant(1)), draw=draw, least=0
    )
  crop = 0
  for _ in range(10):
    if crop == good:
      break
    crop += 1
  assert int(found.left) == 2 * crop
  assert max(drawn) <= 10


def test_a_stream_draws_rare_images_and_resumes(config, add_dataset):
  """Class 1 is in images 2 and 5 alone, with 12 and 6 of their 48 pixels."""

  def create(i):
    label = np.zeros(miniature.SIZE, np.uint8)
    label[0] = i == 2
    label[1, :4] = i == 2
    label[2, :6] = i == 5
    example = miniature.create_example(i)
    return {**example, 'label': miniature.encode(label)}

  add_dataset('rare', examples=create)
  source = config.source
  source.update(dataset='rare', rare_temperature=0.3, rare_pixels=5)
  batches = miniature.take(miniature.stream(config), 40)
  # The records are not in the order of the images' numbers.
  images, _ = pipeline.image_stream(config, domain='source')
  numbers = np.array([int(x['image'][0, 0, 0]) // 10 for x in images])
  counts = np.zeros((7, 2), int)
  counts[numbers == 2, 1], counts[numbers == 5, 1] = 12, 6
  counts[:, 0] = 48 - counts[:, 1]
  seed = pipeline.domain_seed(1, 'source')
  sampler = rare.Sampler(counts, temperature=0.3, least=5, seed=seed)
  drawn = miniature.numbers(batches)
  assert drawn == [numbers[sampler.draw(i)[1]] for i in range(80)]
  # f is 318 / 336 and 18 / 336: class 1 has a share of 0.95, and either of its
  # images a half of that and a little more.
  shares = np.exp((1 - np.array([318, 18]) / 336) / 0.3)
  rarer = shares[1] / shares.sum()
  for number in (2, 5):
    share = rarer / 2 + (1 - rarer) / 7
    deviation = np.sqrt(share * (1 - share) / 80)
    assert abs(drawn.count(number) / 80 - share) < 4 * deviation
  resumed = miniature.take(miniature.stream(config, start_step=5), 7)
  for left, right in zip(batches[5:12], resumed, strict=True):
    miniature.assert_equal(left, right)
  other = miniature.take(miniature.stream(config, seed=2), 12)
  assert miniature.numbers(other) != drawn[:24]
  # An image has a class if it has more pixels of it than `rare_pixels`.
  source.rare_pixels = 6
  drawn = miniature.numbers(miniature.take(miniature.stream(config), 12))
  assert drawn.count(2) > 12 > 4 > drawn.count(5)


def test_two_processes_share_a_batch_of_rare_images(config):
  config.source.update(rare_temperature=0.01, rare_pixels=0)
  (whole,) = miniature.take(miniature.stream(config), 1)
  halves = [
    miniature.take(
      miniature.stream(config, process_index=i, process_count=2), 1
    )[0]
    for i in range(2)
  ]
  for side in whole:
    for field, value in whole[side].items():
      np.testing.assert_array_equal(
        value, np.concatenate([x[side][field] for x in halves])
      )


def test_counts_are_kept_and_needed(config, monkeypatch):
  config.source.update(rare_temperature=0.01, rare_pixels=0)
  (first,) = miniature.take(miniature.stream(config), 1)
  monkeypatch.setattr(np, 'bincount', None)
  (second,) = miniature.take(miniature.stream(config), 1)
  miniature.assert_equal(first, second)
  needs = {'source': ('image',), 'target': ('image',)}
  with pytest.raises(errors.UserError, match=r'rare_temperature=0.01 needs'):
    miniature.stream(config, needs=needs)
  config.source.rare_temperature = -1.0
  with pytest.raises(
    errors.UserError, match=r'rare_temperature=-1.0; expected'
  ):
    miniature.stream(config)


def test_crops_are_drawn_until_no_class_has_most_of_one():
  label = np.zeros((40, 40), np.int32)
  label[:, 25:30], label[:, 30:] = 255, 1

  def draw(seed):
    return transforms.draw_window(seed, (40, 40), crop=(10, 12))

  firsts, found = [], []
  for sample in range(60):
    seed = tf.constant([3, sample], tf.int64)
    window = rare.draw_varied(seed, tf.constant(label), draw=draw, most=0.75)
    for kept, one in ((firsts, draw(seed)), (found, window)):
      cut = transforms.cut_window(tf.constant(label), one).numpy()
      counts = np.bincount(cut.ravel(), minlength=256)[:255]
      kept.append(counts.max() < 0.75 * counts.sum())
  # A crop begins at one of 29 columns; at 22, 23 and 20 has both classes.
  assert sum(firsts) < 15
  assert sum(found) > 25
  # The first crop is taken if it will do.
  assert all(b for a, b in zip(firsts, found, strict=True) if a)


def test_a_batch_says_where_its_crops_were(config):
  config.target.update(crop=(4, 6), flip=True)
  needs = {**miniature.ALL, 'target': ('image', 'place')}
  (batch,) = miniature.take(miniature.stream(config, needs=needs), 1)
  place = batch['target']['place']
  assert place.dtype == np.int32
  assert place.shape == (2, 5)
  top, left, mirrored, *size = place.T
  assert ((top >= 0) & (top <= 2)).all()
  assert ((left >= 0) & (left <= 2)).all()
  assert set(mirrored) <= {0, 1}
  np.testing.assert_array_equal(np.transpose(size), [miniature.SIZE] * 2)
