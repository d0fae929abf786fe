import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from tests.data import miniature


@pytest.mark.parametrize('batch_size', [1, 2, 5, 8])
def test_evaluation_sees_every_image_once(config, batch_size):
  config.target.size = (3, 4)
  batches = miniature.evaluate(config, batch_size=batch_size)
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
  batches = miniature.evaluate(config, batch_size=3, with_depth=True)
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
  assert 'depth' not in miniature.evaluate(config, with_depth=True)[0]


def test_evaluation_of_depth_of_another_size(config, add_dataset):
  def examples(i):
    half = np.arange(4, dtype=np.uint16) * np.ones((3, 1), np.uint16)
    return {**miniature.create_example(i), 'depth': miniature.encode(half)}

  add_dataset('half', examples=examples)
  config.target.dataset = 'half'
  depth = miniature.evaluate(config, with_depth=True)[0]['depth']
  np.testing.assert_allclose(depth[0, 5], np.arange(8) // 2 / 100, atol=1e-6)


def test_processes_share_the_evaluation(config):
  whole = miniature.evaluate(config, batch_size=4)
  parts = [
    miniature.evaluate(config, batch_size=4, process_index=p, process_count=2)
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
  assert len(miniature.evaluate(config, split='train', domain='source')) == 4


def test_labels_of_many_sizes(config, add_dataset):
  def examples(i):
    return miniature.create_example(i, size=(6, 8 + i))

  add_dataset('mixed', examples=examples)
  config.target.dataset = 'mixed'
  sizes = {x['label'].shape for x in miniature.evaluate(config, batch_size=1)}
  assert sizes == {(1, 6, 8 + i) for i in range(5)}
  with pytest.raises(errors.UserError, match=r'mixed: .*6.*eval_batch_size=1'):
    miniature.evaluate(config, batch_size=2)
  *batches, last = miniature.evaluate(config, batch_size=2, many_sizes=True)
  for batch in (*batches, last):
    assert isinstance(batch['label'], list) == (batch is not last)
    for row, label in zip(batch['name'], batch['label'], strict=False):
      i = int(row.split()[1])
      np.testing.assert_array_equal(label, np.full((6, 8 + i), i))
  assert len(last['name']) == 1
  assert (last['label'][1] == labels.IGNORE).all()
  # Training resizes.
  miniature.take(miniature.stream(config), 1)


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
    miniature.stream(config)


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
    miniature.stream(config, **options)


def test_missing_depth_is_named_at_once(config, add_dataset):
  add_dataset('flat', fields=('image', 'label'))
  config.source.dataset = 'flat'
  with pytest.raises(
    errors.UserError, match=r'flat has no depth.*image, label'
  ):
    miniature.stream(config)


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
