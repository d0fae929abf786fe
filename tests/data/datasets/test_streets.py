"""The builder of streets: names, fields, the same bytes every time."""

import pathlib

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.datasets import streets
from jaxuda.streets import camera
from jaxuda.streets import street

SMALL = '24x40_train3_val2'


def read(builder, split):
  """Returns name -> decoded example, read by TFDS itself."""
  source = builder.as_data_source(split=split)
  return {example['name'].decode(): example for example in source}


def prepare(name, data_dir):
  builder = streets.builder(name, data_dir=str(data_dir))
  builder.download_and_prepare()
  return builder


@pytest.fixture(scope='module')
def full(tmp_path_factory):
  """Returns a small collection with every view."""
  data_dir = tmp_path_factory.mktemp('streets')
  return prepare(f'streets/target_{SMALL}_seed5_stereo_sequence', data_dir)


@pytest.mark.parametrize(
  ('fields', 'name'),
  [
    ({}, 'source'),
    ({'domain': 'target'}, 'target'),
    ({'domain': 'wide', 'seed': 2}, 'wide_seed2'),
    ({'domain': 'wide-sky-light', 'width': 64}, 'wide-sky-light_160x64'),
    ({'height': 180, 'width': 240}, 'source_180x240'),
    ({'height': 80}, 'source_80x320'),
    ({'train': 9, 'val': 2, 'seed': 3}, 'source_train9_val2_seed3'),
    (
      {'domain': 'target', 'width': 64, 'stereo': True, 'sequence': True},
      'target_160x64_stereo_sequence',
    ),
  ],
)
def test_names_tell_what_is_not_the_default(fields, name):
  config = streets.StreetsConfig(**fields)
  assert config.name == name
  assert streets.parse(f'streets/{name}') == config
  assert streets.parse(name) == config


def test_defaults():
  config = streets.parse('streets/target')
  assert (config.height, config.width) == (160, 320)
  assert (config.train, config.val, config.seed) == (800, 150, 0)
  assert config.views == ()
  assert streets.StreetsConfig(stereo=True, sequence=True).views == (
    'right',
    'previous',
    'next',
  )


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('streets/real', 'streets/real.*DOMAIN source, target, wide'),
    ('streets/source_180', 'source_180.*HEIGHTxWIDTH'),
    ('streets', "'streets'.*expected"),
    ('streets/wide-fog', "'wide-fog'.*KIND of sky, light, foliage"),
    ('streets/wide-light-sky', "'wide-light-sky'.*sky, light"),
    ('streets/source_4x320', 'height is 4.*8'),
    ('streets/source_train0', 'train is 0'),
    ('streets/source_val2000000', 'val is 2000000'),
  ],
)
def test_mistakes_are_named(name, message, tmp_path):
  with pytest.raises(errors.UserError, match=message):
    streets.builder(name, data_dir=str(tmp_path))


def test_an_unknown_domain_is_named():
  with pytest.raises(errors.UserError, match=r"'real'.*source, target"):
    streets.StreetsConfig(domain='real')


def test_the_name_is_that_of_the_prepared_dataset(tmp_path):
  builder = streets.builder('streets/source_180x100', data_dir=str(tmp_path))
  assert builder.builder_config.name == 'source_180x100'
  assert builder.info.full_name.startswith('streets/source_180x100/')


def test_a_changed_description_is_named(full):
  folder = pathlib.Path(full.data_dir)
  config = full.builder_config.name
  name, places = f'streets/{config}', {'data_dir': str(folder.parents[2])}
  for file, old, new, message in (
    ('metadata', '0.01', '0.02', f'{folder}: .*depth_unit=0.02; expected 0.01'),
    ('metadata', '0.4', '0.8', 'metadata.json has baseline=0.8; expected 0.4'),
    ('dataset_info', full.VERSION, '1.0.0', f'{name} in .* cannot be read .Th'),
    ('dataset_info', '{', '', f'{name} in .* cannot be read .Fa'),
  ):
    path = folder / f'{file}.json'
    text = path.read_text()
    assert str(old) in text
    path.write_text(text.replace(str(old), new))
    for find in (registry.load, registry.find_prepared):
      with pytest.raises(errors.UserError, match=message):
        find(name, **places)
    path.write_text(text)
  assert registry.load(name, **places).info.splits['train'].num_examples == 3


def test_examples_are_the_rendered_scenes(full):
  assert full.info.splits['train'].num_examples == 3
  assert full.info.splits['val'].num_examples == 2
  assert registry.metadata(full.info)['depth_unit'] == 0.01
  assert registry.metadata(full.info)['baseline'] == camera.BASELINE
  for split, first in (('train', 0), ('val', 1_000_000)):
    for name, example in read(full, split).items():
      domain, seed, index = name.split('_')
      assert (domain, seed) == ('target', '5')
      assert 0 <= int(index) - first < 3
      arguments = {'seed': 5, 'index': int(index), 'height': 24, 'width': 40}
      for key, view in (
        ('image', 'left'),
        ('right', 'right'),
        ('previous', 'previous'),
        ('next', 'next'),
      ):
        drawn = street.render('target', view=view, **arguments)
        np.testing.assert_array_equal(example[key], drawn['image'])
      drawn = street.render('target', **arguments)
      np.testing.assert_array_equal(example['label'][..., 0], drawn['label'])
      assert example['depth'].dtype == np.uint16
      np.testing.assert_allclose(
        example['depth'][..., 0] / 100, drawn['depth'], atol=0.00501
      )
      eye = street.camera('target', **arguments)
      np.testing.assert_allclose(
        example['intrinsics'], [eye.focal, eye.cx, eye.cy]
      )
      then = street.camera('target', view='next', **arguments)
      np.testing.assert_allclose(
        example['motion_next'], camera.motion(eye, then), rtol=1e-5, atol=1e-6
      )


def test_splits_have_other_scenes(full):
  train, val = read(full, 'train'), read(full, 'val')
  assert not train.keys() & val.keys()
  for a in train.values():
    for b in val.values():
      assert (a['label'] != b['label']).any()


def stored(builder):
  """Returns name -> stored bytes, in the order of the file."""
  undecoded = {
    key: tfds.decode.SkipDecoding() for key in ('image', 'label', 'depth')
  }
  source = builder.as_data_source(split='train', decoders=undecoded)
  return {x['name']: (x['image'], x['label'], x['depth']) for x in source}


def test_the_bytes_do_not_depend_on_the_workers(tmp_path, monkeypatch):
  files = []
  for workers in (1, 3):
    monkeypatch.setattr(streets.Streets, 'workers', workers)
    builder = prepare(f'streets/source_{SMALL}', tmp_path / str(workers))
    files.append(stored(builder))
  assert list(files[0]) == list(files[1])
  assert files[0] == files[1]


def test_a_larger_collection_begins_with_the_smaller(tmp_path):
  small = prepare(f'streets/source_{SMALL}', tmp_path)
  large = prepare('streets/source_24x40_train5_val2', tmp_path)
  small, large = stored(small), stored(large)
  assert len(small) == 3
  assert len(large) == 5
  assert small.items() <= large.items()


def test_the_registry_prepares_streets(tmp_path, capsys):
  name = 'streets/target_24x40_train3_val2'
  builder = registry.load(name, data_dir=str(tmp_path))
  shown = capsys.readouterr().err
  assert 'rendering streets/target_24x40_train3_val2 train: 3/3' in shown
  (encoded, *_), *_ = stored(builder).values()
  assert cv2.imdecode(np.frombuffer(encoded, np.uint8), 1).shape == (24, 40, 3)
  # The second time there is nothing to do.
  registry.load(name, data_dir=str(tmp_path))
  assert 'rendering' not in capsys.readouterr().err
