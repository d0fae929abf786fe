import pathlib

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.records import access
from jaxuda.data.records import order
from tests.data import miniature

REAL = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'camvid'
PINNED = [3, 0, 1, 4, 2, 5]


def test_batch_contract(config):
  (batch,) = miniature.take(miniature.stream(config), 1)
  assert batch.keys() == {'source', 'target'}
  assert batch['target'].keys() == {'image'}
  source = batch['source']
  shapes = {k: (v.shape, v.dtype) for k, v in source.items()}
  assert shapes == {
    'image': ((2, 6, 8, 3), np.uint8),
    'label': ((2, 6, 8), np.int32),
    'depth': ((2, 6, 8), np.float32),
    'depth_valid': ((2, 6, 8), np.bool_),
  }
  for image, label, depth in zip(
    source['image'], source['label'], source['depth'], strict=True
  ):
    i = label[0, 0]
    assert (label == i).all()
    assert (image == 10 * i).all()
    np.testing.assert_allclose(depth[3], i + np.arange(8) / 100, atol=1e-6)
    np.testing.assert_array_equal(depth[0, :2], np.float32([0, 655.35]))
  assert source['depth_valid'].all()


def test_depth_policies(config):
  config.zero_depth = config.far_depth = 'mask'
  (batch,) = miniature.take(miniature.stream(config), 1)
  valid = batch['source']['depth_valid']
  assert not valid[:, 0, :2].any()
  assert valid.sum() == valid.size - 2 * len(valid)


def test_depth_unit(config, add_dataset):
  add_dataset('units', depth_unit=0.5)
  config.source.dataset = 'units'
  (batch,) = miniature.take(miniature.stream(config), 1)
  i = batch['source']['label'][0, 0, 0]
  assert batch['source']['depth'][0, 3, 2] == (100 * i + 2) / 2


def test_every_epoch_has_every_image_in_a_new_order(config):
  order = miniature.numbers(
    miniature.take(miniature.stream(config, batch_size=7), 4)
  )
  epochs = [order[i : i + 7] for i in range(0, 28, 7)]
  assert all(sorted(x) == list(range(7)) for x in epochs)
  assert len({tuple(x) for x in epochs}) == 4


def test_domains_and_seeds_differ(config):
  batches = miniature.take(miniature.stream(config), 14)
  other = miniature.take(miniature.stream(config, seed=2), 14)
  assert miniature.numbers(batches) != miniature.numbers(batches, 'target')
  assert miniature.numbers(batches) != miniature.numbers(other)
  assert miniature.numbers(batches) == miniature.numbers(
    miniature.take(miniature.stream(config), 14)
  )


def test_resumed_is_uninterrupted(config):
  # 7 images in batches of 2: an epoch ends inside batches 3, 6 ...
  config.source.crop, config.source.flip = (4, 5), True
  whole = miniature.take(miniature.stream(config), 12)
  for start in (1, 3, 7):
    resumed = miniature.take(
      miniature.stream(config, start_step=start), 12 - start
    )
    for first, second in zip(whole[start:], resumed, strict=True):
      miniature.assert_equal(first, second)


def test_late_start_reads_only_what_it_gives(config, monkeypatch):
  read = []
  original = access.Records.read

  def count_reads(self, number):
    read.append(number)
    return original(self, number)

  monkeypatch.setattr(access.Records, 'read', count_reads)
  miniature.take(
    miniature.stream(config, needs={'source': ('image',)}, start_step=10**6), 1
  )
  assert len(read) < 200  # Only those decoded ahead, not two million.


def test_processes_share_a_batch(config):
  config.source.crop, config.source.flip = (4, 5), True
  whole = miniature.take(miniature.stream(config, batch_size=6), 5)
  parts = [
    miniature.take(
      miniature.stream(config, batch_size=6, process_index=p, process_count=3),
      5,
    )
    for p in range(3)
  ]
  for step, batch in enumerate(whole):
    for side, fields in batch.items():
      for field, value in fields.items():
        joined = np.concatenate([x[step][side][field] for x in parts])
        np.testing.assert_array_equal(joined, value)


def test_target_labels_are_never_decoded(config, add_dataset):
  def poisoned(i):
    return miniature.create_example(i, poison=('label', 'depth'))

  add_dataset('poisoned', examples=poisoned)
  config.target.dataset = 'poisoned'
  assert sorted(
    miniature.numbers(
      miniature.take(miniature.stream(config, batch_size=7), 1), 'target'
    )
  ) == [*range(7)]
  needs = {'target': ('image', 'label')}
  with pytest.raises(Exception, match=r'(?i)decode|png|image'):
    miniature.take(miniature.stream(config, needs=needs), 1)


def test_target_needs_no_labels_at_all(config, add_dataset):
  add_dataset('bare', fields=('image',))
  config.target.dataset = 'bare'
  miniature.take(miniature.stream(config), 1)
  with pytest.raises(errors.UserError, match="bare has no label in split 'tr"):
    miniature.stream(config, needs={'target': ('image', 'label')})


def test_unlabelled_split(config, add_dataset):
  def examples(i):
    return {**miniature.create_example(i), 'label': b''}

  add_dataset('part', examples=examples, unlabelled_splits=['train'])
  config.target.dataset = 'part'
  miniature.take(miniature.stream(config), 1)
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    miniature.stream(config, needs={'target': ('image', 'label')})
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    miniature.evaluate(config, split='train')
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    pipeline.eval_size(config, split='train')
  assert pipeline.eval_size(config) == 5


def test_only_needed_domains(config):
  config.target.dataset = 'none such'
  needs = {'source': ('image', 'label'), 'target': ()}
  (batch,) = miniature.take(miniature.stream(config, needs=needs), 1)
  assert batch.keys() == {'source'}
  assert batch['source'].keys() == {'image', 'label'}


def test_crop_and_flip_are_the_same_for_all_fields(config, add_dataset):
  values = np.arange(48, dtype=np.uint8).reshape(miniature.SIZE)

  def examples(i):
    return {
      'name': f'{i}',
      'image': miniature.encode(np.stack([values] * 3, -1)),
      'label': miniature.encode(values // 3),
      'depth': miniature.encode(values.astype(np.uint16)),
    }

  add_dataset('ramp', examples=examples)
  config.source.dataset = 'ramp'
  config.source.crop, config.source.flip = (3, 5), True
  corners, mirrored = set(), set()
  for batch in miniature.take(
    miniature.stream(config, needs={'source': miniature.ALL['source']}), 80
  ):
    source = batch['source']
    assert source['image'].shape == (2, 3, 5, 3)
    for image, label, depth in zip(
      source['image'], source['label'], source['depth'], strict=True
    ):
      grey = image[..., 0].astype(int)
      expected = np.where(grey // 3 < 19, grey // 3, 16)
      np.testing.assert_array_equal(label[grey < 48], expected[grey < 48])
      np.testing.assert_allclose(depth, grey / 100, atol=1e-6)
      step = grey[0, 1] - grey[0, 0]
      mirrored.add(step)
      corners.add(grey[0].min())
  assert mirrored == {1, -1}
  assert len(corners) == 16  # 4 x 4 places.


def test_resize_rules_reach_the_batch(config):
  config.source.size = (3, 4)
  (batch,) = miniature.take(miniature.stream(config), 1)
  i = batch['source']['label'][0, 0, 0]
  depth = batch['source']['depth'][0, 1] - i
  np.testing.assert_allclose(depth, [0, 0.02, 0.04, 0.06], atol=1e-5)
  config.resize = 'consistent'
  (batch,) = miniature.take(miniature.stream(config), 1)
  depth = batch['source']['depth'][0, 1] - i
  np.testing.assert_allclose(depth, [0.01, 0.03, 0.05, 0.07], atol=1e-5)


def test_fraction_is_nested_and_fixed(config):
  seen = []
  for fraction in (0.01, 0.3, 0.7, 1.0):
    config.source.fraction = fraction
    needs = {'source': ('image',)}
    batches = miniature.take(
      miniature.stream(config, needs=needs, batch_size=1), 40
    )
    seen.append(set(miniature.numbers(batches)))
    batches = miniature.take(miniature.stream(config, needs=needs, seed=5), 20)
    assert set(miniature.numbers(batches)) == seen[-1]
  assert [len(x) for x in seen] == [1, 2, 5, 7]
  assert seen[0] < seen[1] < seen[2] < seen[3]


def test_split_can_be_cut(config):
  config.source.split = 'train[:3]'
  assert (
    len(set(miniature.numbers(miniature.take(miniature.stream(config), 12))))
    == 3
  )


def test_permutation():
  first = order.permute(3, 4, 100)
  assert sorted(first) == list(range(100))
  assert not np.array_equal(first, order.permute(3, 5, 100))
  assert not np.array_equal(first, order.permute(4, 4, 100))
  # Pinned: a run that is resumed with another NumPy must continue the same.
  assert order.permute(1234, 0, 6).tolist() == PINNED


def test_domain_seeds():
  seeds = {pipeline.domain_seed(s, x) for s in (1, 2) for x in miniature.ALL}
  assert len(seeds) == 4
  assert all(0 <= x < 2**32 for x in seeds)


@pytest.mark.skipif(not REAL.is_dir(), reason='the real images are not here')
def test_real_camvid(config):
  for side in ('source', 'target'):
    config[side].update(dataset='camvid', manual_dir=str(REAL), size=(90, 120))
  batches = pipeline.train_stream(
    config,
    classes='camvid11',
    needs={'source': ('image', 'label'), 'target': ('image',)},
    batch_size=3,
    seed=0,
  )
  batch = next(batches)
  assert batch['source']['image'].shape == (3, 90, 120, 3)
  assert set(np.unique(batch['source']['label'])) <= {*range(11), 255}
  assert pipeline.eval_size(config) == 101
  first = next(pipeline.eval_stream(config, classes='camvid11', batch_size=4))
  assert first['label'].shape == (4, 180, 240)
  assert all(x.startswith('0016E5') for x in first['name'])
  with pytest.raises(errors.UserError, match='camvid has no depth'):
    miniature.stream(config)
