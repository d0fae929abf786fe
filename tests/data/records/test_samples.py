import types

import numpy as np
import pytest
import tensorflow as tf

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms
from jaxuda.data.records import access
from jaxuda.data.records import advice
from tests.data import miniature

HEIGHT, WIDTH = miniature.SIZE
NEEDS = {'source': ('image', 'label', 'depth', 'place'), 'target': ('image',)}
# Ids of streets, and depth in centimetres, that differ from pixel to pixel.
LABEL = (np.arange(HEIGHT * WIDTH).reshape(miniature.SIZE) % 17).astype('u1')
DEPTH = (1000 + 7 * np.arange(HEIGHT * WIDTH).reshape(miniature.SIZE)).astype(
  'u2'
)
DEPTH[2, 3:6] = 65535


def create_example(i):
  image = np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), 'u1')
  fields = {'image': image, 'label': LABEL, 'depth': DEPTH}
  encoded = {k: miniature.encode(v) for k, v in fields.items()}
  return {'name': f'image {i}', **encoded}


def take(config, count=4, **more):
  return miniature.take(miniature.stream(config, needs=NEEDS, **more), count)


def test_a_sample_is_cut_from_the_scaled_record(config, add_dataset):
  add_dataset('different', examples=create_example)
  source = config.source
  source.update(dataset='different', crop=(5, 7), flip=True)
  source.scale_range = (2.0, 2.0)
  seen = set()
  for batch in take(config):
    for one in range(2):
      got = {k: v[one] for k, v in batch['source'].items()}
      top, left, mirrored, *size = got['place']
      assert size == [2 * HEIGHT, 2 * WIDTH]
      seen.add((top, left, mirrored))

      def cut(values, top=top, left=left, mirrored=mirrored):
        large = values.repeat(2, axis=0).repeat(2, axis=1)
        window = large[top : top + 5, left : left + 7]
        return window[:, ::-1] if mirrored else window

      np.testing.assert_array_equal(got['label'], cut(LABEL))
      # Twice as large is half as far, the sky aside.
      metres = np.where(DEPTH == 65535, 655.35, DEPTH / 200).astype('f4')
      np.testing.assert_allclose(got['depth'], cut(metres), rtol=1e-6)
      assert got['depth_valid'].all()
  assert len(seen) > 4
  assert {x[2] for x in seen} == {0, 1}


def test_images_are_scaled_as_they_are_resized(config, add_dataset):
  add_dataset('even', examples=miniature.create_example)
  config.source.update(dataset='even', scale_range=(1.5, 1.5))
  (plain,) = take(config, 1)
  config.source.scale_range = (1.0, 1.0)
  (same,) = take(config, 1)
  np.testing.assert_array_equal(plain['source']['place'][:, 3:], [[9, 12]] * 2)
  # The images are of one grey each: only their order could differ.
  np.testing.assert_array_equal(
    plain['source']['image'], same['source']['image']
  )
  # The target has a range of its own.
  np.testing.assert_array_equal(
    plain['target']['image'], same['target']['image']
  )


def test_scales_are_spread_over_their_range(config):
  config.source.update(crop=(3, 4), scale_range=(0.5, 3.0))
  heights = np.concatenate(
    [x['source']['place'][:, 3] for x in take(config, 40)]
  )
  assert heights.min() == 3
  assert heights.max() in (17, 18)
  # Uniform over 3..18: mean 10.5, deviation 4.3 / sqrt(80).
  assert abs(heights.mean() - 10.5) < 1.5


def test_a_scale_belongs_to_its_sample(config):
  config.source.update(crop=(3, 4), scale_range=(0.5, 3.0), flip=True)
  whole = take(config, 5)
  resumed = take(config, 2, start_step=3)
  for expected, batch in zip(whole[3:], resumed, strict=True):
    for field, values in batch['source'].items():
      np.testing.assert_array_equal(values, expected['source'][field])
  # Crops of an unscaled stream have the same seed: scales must not follow them.
  first = whole[0]['source']['place']
  config.source.scale_range = (1.0, 1.0)
  assert (take(config, 1)[0]['source']['place'] != first).any()


def test_the_least_scale_holds_the_crop_in_float32_too(config):
  # 11 * 13 / 22 is 6.5 in float64, and less in float32.
  config.source.update(size=(11, 11), crop=(7, 7), scale_range=(13 / 22,) * 2)
  (batch,) = take(config, 1)
  assert batch['source']['image'].shape == (2, 7, 7, 3)
  np.testing.assert_array_equal(batch['source']['place'], [[0, 0, 0, 7, 7]] * 2)


@pytest.mark.parametrize(
  ('rule', 'step'),
  [
    ({'rare_temperature': 0.01, 'rare_pixels': 0}, 40),
    ({'crop_most': 0.97}, 44),
  ],
)
def test_windows_of_scaled_images_are_chosen_like_crops(
  config, add_dataset, rule, step
):
  """Without a crop an image of the size itself is cut, by the same rules."""
  # Of two classes, the second has one pixel in 48, four when it is enlarged.
  label = np.zeros(miniature.SIZE, 'u1')
  label[-1, -1] = 11
  fields = {'image': np.zeros((*label.shape, 3), 'u1'), 'label': label}
  encoded = {k: miniature.encode(v) for k, v in fields.items()}
  add_dataset(
    f'corner {step}',
    examples=lambda i: {'name': f'image {i}', **encoded},
    fields=tuple(fields),
  )
  config.source.update(dataset=f'corner {step}', scale_range=(2.0, 2.0), **rule)
  stream = miniature.stream(
    config, needs={'source': ('image', 'label', 'place')}
  )
  places = [
    place[:2].tolist()
    for batch in miniature.take(stream, 20)
    for place in batch['source']['place']
  ]
  large = label.repeat(2, axis=0).repeat(2, axis=1)
  seed = pipeline.domain_seed(1, 'source')
  expected, found = [], 0
  for sample in range(40):
    for number in range(11):
      key = tf.constant([seed, sample + (number << step)], tf.int64)
      one = transforms.draw_window(key, large.shape, crop=miniature.SIZE)
      top, left = int(one.top), int(one.left)
      rare = (large[top : top + HEIGHT, left : left + WIDTH] == 11).sum()
      # No class has 97 % of 48 pixels if the other has two.
      if rare > (0 if step == 40 else 1):
        found += 1
        break
    expected.append([top, left])
  assert places == expected
  assert found > 10


def test_scores_are_at_the_size_itself(config):
  config.target.scale_range = (2.0, 2.0)
  stream = pipeline.eval_stream(config, classes='cityscapes19', batch_size=1)
  assert next(stream)['image'].shape == (1, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(('most', 'advised'), [(1.0, True), (1.5, False)])
def test_images_that_are_enlarged_are_kept_as_they_are(most, advised, capsys):
  large = miniature.encode(np.zeros((20, 40, 3), 'u1'))
  domain = types.SimpleNamespace(
    dataset='cityscapes',
    side='target',
    size=(10, 20),
    store='raw',
    scale_range=(1.0, most),
  )
  records = types.SimpleNamespace(
    domain=domain,
    fields=('image',),
    _source=[large],
    _numbers=[0],
    _parse=lambda record: {'image': tf.constant(record)},
  )
  advice.note.cache_clear()  # It is said once.
  access.Records.advise(records)
  note = 'images of cityscapes are 40x20 but trained on at 20x10'
  assert (note in capsys.readouterr().err) == advised


@pytest.mark.parametrize(
  ('value', 'crop'),
  [
    ((0.5, 2.0), (0, 0)),
    ((0.5, 2.0), (4, 4)),
    ((2.0, 1.5), (0, 0)),
    ((1.0, float('inf')), (0, 0)),
    ((1.0,), (0, 0)),
    (2.0, (0, 0)),
  ],
)
def test_a_range_that_cannot_be_is_named(config, value, crop):
  config.source.crop = crop
  config.source.scale_range = value
  least = 'at least 0.6667, as crop=' if any(crop) else 'at least 1, as size='
  with pytest.raises(errors.UserError, match=least) as caught:
    take(config, 1)
  assert str(caught.value).startswith('config.data.source.scale_range=')


def test_depth_of_an_enlarged_picture():
  metres = tf.constant([10.0, 400.0, depth_codes.FAR, 700.0])
  np.testing.assert_allclose(
    depth_codes.approach(metres, 2.0), [5, 200, depth_codes.FAR, 700]
  )
  np.testing.assert_allclose(
    depth_codes.approach(metres, 0.5),
    [20, depth_codes.FAR, depth_codes.FAR, 700],
  )


def test_windows_of_sizes_that_are_tensors():
  key = tf.constant([1, 2], tf.int64)
  size = (tf.constant(20), tf.constant(31))
  drawn = transforms.draw_window(key, size, crop=(4, 5))
  known = transforms.draw_window(key, (20, 31), crop=(4, 5))
  assert (int(drawn.top), int(drawn.left)) == (int(known.top), int(known.left))
