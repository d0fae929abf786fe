import itertools
import pathlib

import cv2
import ml_collections
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data import labels
from jaxuda.data import pipeline
from jaxuda.data import records
from jaxuda.data import registry

REAL = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'camvid'
ALL = {'source': ('image', 'label', 'depth'), 'target': ('image',)}
SIZE = (6, 8)
PINNED = [3, 0, 1, 4, 2, 5]
SPLITS = {'train': 7, 'val': 5}


def encode(array):
  return cv2.imencode('.png', array)[1].tobytes()


def create_example(i, *, size=SIZE, poison=()):
  """Example i: grey 10 i, raw id i of streets, depth 100 i + column."""
  depth = np.tile(np.arange(size[1], dtype=np.uint16), (size[0], 1)) + 100 * i
  depth[0, :2] = 0, 65535
  example = {
    'name': f'image {i}',
    'image': encode(np.full((*size, 3), 10 * i, np.uint8)),
    'label': encode(np.full(size, i, np.uint8)),
    'depth': encode(depth),
  }
  return {k: b'poison' if k in poison else v for k, v in example.items()}


with tfds.core.registered.skip_registration():

  class Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.0.0')

    def __init__(self, *, examples, fields, metadata, **kwargs):
      self._examples = examples
      self._fields = fields
      self._metadata = metadata
      super().__init__(**kwargs)

    def _info(self):
      kinds = {
        'name': tfds.features.Text(),
        'image': tfds.features.Image(shape=(None, None, 3)),
        'label': tfds.features.Image(shape=(None, None, 1)),
        'depth': tfds.features.Image(shape=(None, None, 1), dtype=np.uint16),
      }
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(
          {k: kinds[k] for k in ('name', *self._fields)}
        ),
        metadata=tfds.core.MetadataDict(self._metadata),
      )

    def _split_generators(self, dl_manager):
      return {name: self._generate_examples(name) for name in SPLITS}

    def _generate_examples(self, split):
      for i in range(SPLITS[split]):
        example = self._examples(i)
        yield i, {k: example[k] for k in ('name', *self._fields)}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Shared by all tests: a name always stands for the same examples."""
  return str(tmp_path_factory.mktemp('tfds'))


@pytest.fixture
def add_dataset(monkeypatch):
  """A function that registers a miniature dataset."""

  def add(
    name,
    *,
    examples=create_example,
    fields=('image', 'label', 'depth'),
    **metadata,
  ):
    def build(dataset, *, data_dir, manual_dir):
      del dataset, manual_dir
      return Tiny(
        examples=examples,
        fields=fields,
        metadata=metadata,
        data_dir=data_dir,
        config=tfds.core.BuilderConfig(name=name),
        file_format='array_record',
      )

    entry = registry.Dataset(build=build, ids='streets')
    monkeypatch.setitem(registry.DATASETS, name, entry)

  return add


@pytest.fixture
def config(data_dir, add_dataset):
  add_dataset('near')
  add_dataset('far')

  def side(dataset, **more):
    return dict(
      dataset=dataset,
      split='train',
      manual_dir=ml_collections.config_dict.placeholder(str),
      size=SIZE,
      crop=(0, 0),
      flip=False,
      fraction=1.0,
      image_resize='bicubic',
      **more,
    )

  return ml_collections.ConfigDict(
    dict(
      data_dir=data_dir,
      resize='reference',
      zero_depth='keep',
      far_depth='keep',
      source=side('near'),
      target=side('far', eval_split='val'),
    )
  )


def stream(config, *, needs=ALL, batch_size=2, seed=1, start_step=0, **more):
  return pipeline.train_stream(
    config,
    classes='cityscapes19',
    needs=needs,
    batch_size=batch_size,
    seed=seed,
    start_step=start_step,
    **more,
  )


def take(batches, count):
  return list(itertools.islice(batches, count))


def evaluate(config, *, batch_size=2, **more):
  return list(
    pipeline.eval_stream(
      config, classes='cityscapes19', batch_size=batch_size, **more
    )
  )


def assert_equal(first, second):
  assert first.keys() == second.keys()
  for side in first:
    assert first[side].keys() == second[side].keys()
    for field, value in first[side].items():
      np.testing.assert_array_equal(value, second[side][field])


def numbers(batches, side='source'):
  """Which examples came, from their grey."""
  return [int(x) // 10 for b in batches for x in b[side]['image'][:, 3, 3, 0]]


def test_batch_contract(config):
  (batch,) = take(stream(config), 1)
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
  (batch,) = take(stream(config), 1)
  valid = batch['source']['depth_valid']
  assert not valid[:, 0, :2].any()
  assert valid.sum() == valid.size - 2 * len(valid)


def test_depth_unit(config, add_dataset):
  add_dataset('units', depth_unit=0.5)
  config.source.dataset = 'units'
  (batch,) = take(stream(config), 1)
  i = batch['source']['label'][0, 0, 0]
  assert batch['source']['depth'][0, 3, 2] == (100 * i + 2) / 2


def test_every_epoch_has_every_image_in_a_new_order(config):
  order = numbers(take(stream(config, batch_size=7), 4))
  epochs = [order[i : i + 7] for i in range(0, 28, 7)]
  assert all(sorted(x) == list(range(7)) for x in epochs)
  assert len({tuple(x) for x in epochs}) == 4


def test_domains_and_seeds_differ(config):
  batches = take(stream(config), 14)
  other = take(stream(config, seed=2), 14)
  assert numbers(batches) != numbers(batches, 'target')
  assert numbers(batches) != numbers(other)
  assert numbers(batches) == numbers(take(stream(config), 14))


def test_resumed_is_uninterrupted(config):
  # 7 images in batches of 2: an epoch ends inside batches 3, 6 ...
  config.source.crop, config.source.flip = (4, 5), True
  whole = take(stream(config), 12)
  for start in (1, 3, 7):
    resumed = take(stream(config, start_step=start), 12 - start)
    for first, second in zip(whole[start:], resumed, strict=True):
      assert_equal(first, second)


def test_late_start_reads_only_what_it_gives(config, monkeypatch):
  read = []
  original = records.Records.read

  def count_reads(self, number):
    read.append(number)
    return original(self, number)

  monkeypatch.setattr(records.Records, 'read', count_reads)
  take(stream(config, needs={'source': ('image',)}, start_step=10**6), 1)
  assert len(read) < 200  # What is decoded ahead, not two million.


def test_processes_share_a_batch(config):
  config.source.crop, config.source.flip = (4, 5), True
  whole = take(stream(config, batch_size=6), 5)
  parts = [
    take(stream(config, batch_size=6, process_index=p, process_count=3), 5)
    for p in range(3)
  ]
  for step, batch in enumerate(whole):
    for side, fields in batch.items():
      for field, value in fields.items():
        joined = np.concatenate([x[step][side][field] for x in parts])
        np.testing.assert_array_equal(joined, value)


def test_target_labels_are_never_decoded(config, add_dataset):
  def poisoned(i):
    return create_example(i, poison=('label', 'depth'))

  add_dataset('poisoned', examples=poisoned)
  config.target.dataset = 'poisoned'
  assert sorted(numbers(take(stream(config, batch_size=7), 1), 'target')) == [
    *range(7)
  ]
  needs = {'target': ('image', 'label')}
  with pytest.raises(Exception, match=r'(?i)decode|png|image'):
    take(stream(config, needs=needs), 1)


def test_target_needs_no_labels_at_all(config, add_dataset):
  add_dataset('bare', fields=('image',))
  config.target.dataset = 'bare'
  take(stream(config), 1)
  with pytest.raises(errors.UserError, match="bare has no label in split 'tr"):
    stream(config, needs={'target': ('image', 'label')})


def test_unlabelled_split(config, add_dataset):
  def examples(i):
    return {**create_example(i), 'label': b''}

  add_dataset('part', examples=examples, unlabelled_splits=['train'])
  config.target.dataset = 'part'
  take(stream(config), 1)
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    stream(config, needs={'target': ('image', 'label')})
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    evaluate(config, split='train')
  with pytest.raises(errors.UserError, match="no label in split 'train'"):
    pipeline.eval_size(config, split='train')
  assert pipeline.eval_size(config) == 5


def test_only_needed_domains(config):
  config.target.dataset = 'none such'
  needs = {'source': ('image', 'label'), 'target': ()}
  (batch,) = take(stream(config, needs=needs), 1)
  assert batch.keys() == {'source'}
  assert batch['source'].keys() == {'image', 'label'}


def test_crop_and_flip_are_the_same_for_all_fields(config, add_dataset):
  values = np.arange(48, dtype=np.uint8).reshape(SIZE)

  def examples(i):
    return {
      'name': f'{i}',
      'image': encode(np.stack([values] * 3, -1)),
      'label': encode(values // 3),
      'depth': encode(values.astype(np.uint16)),
    }

  add_dataset('ramp', examples=examples)
  config.source.dataset = 'ramp'
  config.source.crop, config.source.flip = (3, 5), True
  corners, mirrored = set(), set()
  for batch in take(stream(config, needs={'source': ALL['source']}), 80):
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
  (batch,) = take(stream(config), 1)
  i = batch['source']['label'][0, 0, 0]
  depth = batch['source']['depth'][0, 1] - i
  np.testing.assert_allclose(depth, [0, 0.02, 0.04, 0.06], atol=1e-5)
  config.resize = 'consistent'
  (batch,) = take(stream(config), 1)
  depth = batch['source']['depth'][0, 1] - i
  np.testing.assert_allclose(depth, [0.01, 0.03, 0.05, 0.07], atol=1e-5)


def test_fraction_is_nested_and_fixed(config):
  seen = []
  for fraction in (0.01, 0.3, 0.7, 1.0):
    config.source.fraction = fraction
    needs = {'source': ('image',)}
    batches = take(stream(config, needs=needs, batch_size=1), 40)
    seen.append(set(numbers(batches)))
    batches = take(stream(config, needs=needs, seed=5), 20)
    assert set(numbers(batches)) == seen[-1]
  assert [len(x) for x in seen] == [1, 2, 5, 7]
  assert seen[0] < seen[1] < seen[2] < seen[3]


def test_split_can_be_cut(config):
  config.source.split = 'train[:3]'
  assert len(set(numbers(take(stream(config), 12)))) == 3


@pytest.mark.parametrize('batch_size', [1, 2, 5, 8])
def test_evaluation_sees_every_image_once(config, batch_size):
  config.target.size = (3, 4)
  batches = evaluate(config, batch_size=batch_size)
  names = [x for b in batches for x in b['name']]
  assert sorted(names) == [f'image {i}' for i in range(5)]
  assert pipeline.eval_size(config) == 5
  for batch in batches:
    assert batch.keys() == {'image', 'label', 'name'}
    assert batch['image'].shape == (batch_size, 3, 4, 3)
    assert batch['image'].dtype == np.uint8
    assert batch['label'].shape == (batch_size, 6, 8)
    assert batch['label'].dtype == np.int32
    for row in range(batch_size):
      label = labels.IGNORE
      if row < len(batch['name']):
        label = int(batch['name'][row].split()[1])
      assert (batch['label'][row] == label).all()


def test_evaluation_depth(config):
  config.zero_depth = 'mask'
  config.target.size = (3, 4)
  batches = evaluate(config, batch_size=3, with_depth=True)
  assert batches[0]['depth'].shape == (3, 6, 8)
  i = int(batches[0]['name'][0].split()[1])
  np.testing.assert_allclose(
    batches[0]['depth'][0, 2], i + np.arange(8) / 100, atol=1e-6
  )
  assert not batches[0]['depth_valid'][:, 0, 0].any()
  assert batches[0]['depth_valid'][0, 1:].all()
  assert not batches[1]['depth_valid'][2].any()


def test_evaluation_depth_is_left_out_where_there_is_none(config, add_dataset):
  add_dataset('flat', fields=('image', 'label'))
  config.target.dataset = 'flat'
  assert 'depth' not in evaluate(config, with_depth=True)[0]


def test_evaluation_of_depth_of_another_size(config, add_dataset):
  def examples(i):
    half = np.arange(4, dtype=np.uint16) * np.ones((3, 1), np.uint16)
    return {**create_example(i), 'depth': encode(half)}

  add_dataset('half', examples=examples)
  config.target.dataset = 'half'
  depth = evaluate(config, with_depth=True)[0]['depth']
  np.testing.assert_allclose(depth[0, 5], np.arange(8) // 2 / 100, atol=1e-6)


def test_processes_share_the_evaluation(config):
  whole = evaluate(config, batch_size=4)
  parts = [
    evaluate(config, batch_size=4, process_index=p, process_count=2)
    for p in range(2)
  ]
  assert [len(x) for x in parts] == [2, 2]
  for step, batch in enumerate(whole):
    assert batch['name'] == [y for x in parts for y in x[step]['name']]
    for field in ('image', 'label'):
      joined = np.concatenate([x[step][field] for x in parts])
      np.testing.assert_array_equal(joined, batch[field])


def test_evaluation_of_the_source(config):
  config.target.dataset = 'none such'
  assert pipeline.eval_size(config, split='train', domain='source') == 7
  assert len(evaluate(config, split='train', domain='source')) == 4


def test_labels_of_many_sizes(config, add_dataset):
  def examples(i):
    return create_example(i, size=(6, 8 + i))

  add_dataset('mixed', examples=examples)
  config.target.dataset = 'mixed'
  sizes = {x['label'].shape for x in evaluate(config, batch_size=1)}
  assert sizes == {(1, 6, 8 + i) for i in range(5)}
  with pytest.raises(errors.UserError, match=r'mixed: .*6.*eval_batch_size=1'):
    evaluate(config, batch_size=2)
  # Training resizes.
  take(stream(config), 1)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'source.crop': (7, 8)}, r'source\.crop=\(7, 8\).*size=\(6, 8\)'),
    ({'source.crop': (0, 8)}, r'source\.crop=\(0, 8\)'),
    ({'source.crop': (-1, 4)}, r'source\.crop'),
    ({'source.size': (0, 8)}, r'source\.size=\(0, 8\).*height, width'),
    ({'source.size': (6, 8, 3)}, r'source\.size'),
    ({'source.fraction': 0.0}, r'source\.fraction=0\.0'),
    ({'source.fraction': 1.5}, r'source\.fraction'),
    ({'target.image_resize': 'cubic'}, 'image_resize.*bicubic, bilinear'),
    ({'resize': 'fancy'}, r'data\.resize.*reference, consistent'),
    ({'zero_depth': 'drop'}, 'zero_depth.*keep, mask'),
    ({'far_depth': 'drop'}, 'far_depth.*keep, mask'),
    ({'source.split': 'training'}, r"no split 'training'.*train, val"),
    ({'source.split': 'train[:x]'}, r"'train\[:x\]'"),
    ({'source.split': 'train[:0]'}, 'no images'),
    ({'source.dataset': 'kitty'}, r"'kitty'.*camvid"),
  ],
)
def test_bad_configs_fail_at_once(config, changes, message):
  config.update_from_flattened_dict(changes)
  with pytest.raises(errors.UserError, match=message):
    stream(config)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'batch_size': 3, 'process_count': 2}, 'batch_size=3 does not divide'),
    ({'batch_size': 0}, 'batch_size=0'),
    ({'start_step': -1}, 'start_step=-1'),
    ({'needs': {'source': ('normals',)}}, "'normals'.*image, label, depth"),
    ({'needs': {'other': ('image',)}}, "'other'.*source, target"),
  ],
)
def test_bad_arguments_fail_at_once(config, options, message):
  with pytest.raises(errors.UserError, match=message):
    stream(config, **options)


def test_missing_depth_is_named_at_once(config, add_dataset):
  add_dataset('flat', fields=('image', 'label'))
  config.source.dataset = 'flat'
  with pytest.raises(
    errors.UserError, match=r'flat has no depth.*image, label'
  ):
    stream(config)


def test_senseless_classes_fail_before_anything_is_prepared(config):
  config.source.dataset = 'camvid'  # No manual_dir, too.
  with pytest.raises(errors.UserError, match='camvid have no map to coarse7'):
    pipeline.train_stream(
      config,
      classes='coarse7',
      needs={'source': ('image', 'label')},
      batch_size=1,
      seed=0,
    )


def test_unknown_evaluation_split(config):
  with pytest.raises(errors.UserError, match=r"'test'.*train, val"):
    pipeline.eval_size(config, split='test')


def test_evaluation_is_checked_without_reading_it(config):
  assert pipeline.eval_size(config, classes='cityscapes19') == 5
  with pytest.raises(errors.UserError, match='unknown class set'):
    pipeline.eval_size(config, classes='city')


def test_permutation():
  order = pipeline.permute(3, 4, 100)
  assert sorted(order) == list(range(100))
  assert not np.array_equal(order, pipeline.permute(3, 5, 100))
  assert not np.array_equal(order, pipeline.permute(4, 4, 100))
  # Pinned: a run that is resumed under another NumPy goes on as it was.
  assert pipeline.permute(1234, 0, 6).tolist() == PINNED


def test_domain_seeds():
  seeds = {pipeline.domain_seed(s, x) for s in (1, 2) for x in ALL}
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
    stream(config)
