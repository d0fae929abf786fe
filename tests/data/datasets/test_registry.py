import logging
import pathlib
import subprocess
import sys

from absl import logging as absl_logging
import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import label_tables
from jaxuda.data.datasets import registry
from jaxuda.data.datasets import streets


@pytest.fixture
def small_camvid(tmp_path):
  for folder, value in (('train', 50), ('trainannot', 3)):
    (tmp_path / 'raw' / folder).mkdir(parents=True)
    for i in range(5):
      picture = np.full((6, 8), value, np.uint8)
      Image.fromarray(picture).save(tmp_path / 'raw' / folder / f'{i}.png')
  return tmp_path / 'raw'


def test_families_have_label_tables():
  for family in registry.DATASETS.values():
    assert family.ids in label_tables.TABLES


def test_find():
  assert registry.find('streets/target_180x240').ids == 'streets'
  with pytest.raises(errors.UserError, match=r"'street/x'.*camvid, streets"):
    registry.find('street/x')


def test_user_folder_is_expanded(small_camvid, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  builder = registry.load('camvid', data_dir='~/tfds', manual_dir='~/raw')
  assert str(builder.data_dir).startswith(str(tmp_path / 'tfds'))
  assert registry.describe_fields(builder.info) == 'image, label'
  assert registry.metadata(builder.info)['unlabelled_splits'] == []


@pytest.mark.parametrize('dataset', ['camvid', 'streets/source'])
@pytest.mark.parametrize('place', ['a.txt', 'a.txt/b/c'])
def test_a_file_in_place_of_the_prepared_data(
  small_camvid, tmp_path, dataset, place
):
  (tmp_path / 'a.txt').touch()
  options = {'manual_dir': str(small_camvid)} if dataset == 'camvid' else {}
  with pytest.raises(errors.UserError, match=r'/a\.txt is a file; expected a'):
    registry.load(dataset, data_dir=str(tmp_path / place), **options)


def test_preparing_says_so_once_and_nothing_else(small_camvid, tmp_path, capfd):
  options = dict(data_dir=str(tmp_path), manual_dir=str(small_camvid))
  registry.load('camvid', **options)
  out, err = capfd.readouterr()
  assert out == ''
  place, *progress = err.splitlines()
  assert place.startswith('preparing camvid in ')
  assert progress
  assert all(x.startswith('preparing camvid train: ') for x in progress)
  registry.load('camvid', **options)
  assert capfd.readouterr() == ('', '')


def test_mistakes_come_out_of_tfds_unchanged(tmp_path, monkeypatch):
  def build(dataset, *, data_dir):
    del dataset
    return Faulty(data_dir=data_dir, file_format='array_record')

  entry = registry.Dataset(build=build, ids='streets')
  monkeypatch.setitem(registry.DATASETS, 'faulty', entry)
  for _ in range(2):  # A half-made dataset is not used.
    with pytest.raises(errors.UserError) as caught:
      registry.load('faulty', data_dir=str(tmp_path))
    assert str(caught.value) == 'x.png is broken'


with tfds.core.registered.skip_registration():

  class Faulty(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict({'name': tfds.features.Text()}),
      )

    def _split_generators(self, dl_manager):
      return {'train': self._generate_examples()}

    def _generate_examples(self):
      yield 0, {'name': 'fine'}
      raise errors.UserError('x.png is broken')


@pytest.mark.parametrize(
  ('file', 'level', 'passes'),
  [
    ('tensorflow_datasets/core/reader.py', 'INFO', False),
    ('tensorflow_datasets/core/reader.py', 'WARNING', False),
    ('tensorflow_datasets/core/reader.py', 'ERROR', True),
    ('absl/app.py', 'INFO', True),
  ],
)
def test_tfds_logs_errors_alone(file, level, passes):
  record = logging.makeLogRecord(
    {'pathname': f'/usr/lib/{file}', 'levelno': getattr(logging, level)}
  )
  assert bool(absl_logging.get_absl_logger().filter(record)) == passes


SCRIPT = """
import sys
import ml_collections
from jaxuda.data import pipeline
side = dict(dataset='camvid', split='train', manual_dir=sys.argv[2],
            size=(6, 8), crop=(0, 0), flip=False, fraction=1.0,
            image_resize='bicubic')
config = ml_collections.ConfigDict(dict(
    data_dir=sys.argv[1], resize='reference', zero_depth='keep',
    far_depth='keep', source=side))
needs = {'source': ('image', 'label')}
batches = [pipeline.train_stream(
    config, classes='camvid11', needs=needs, batch_size=1, seed=i)
    for i in range(3)]
print(sum(next(x)['source']['label'].sum() for x in batches))
"""


def test_a_process_ends_well_in_mid_stream(small_camvid, tmp_path):
  # TensorFlow's threads read through Python; they must not outlive it.
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT, str(tmp_path / 'tfds'), str(small_camvid)],
    cwd=pathlib.Path(__file__).parents[3],
    capture_output=True,
    text=True,
    check=False,
  )
  assert (done.returncode, done.stdout) == (0, f'{3 * 48 * 3}\n'), done.stderr
  # TensorFlow prints no internal messages either.
  told = [' '.join(x.split()[:3]) for x in done.stderr.splitlines()]
  assert set(told) == {'preparing camvid in', 'preparing camvid train:'}


def test_a_full_disk_is_named(tmp_path, monkeypatch):
  """TFDS has removed what it wrote by then, so that there is space again."""

  def fill(builder, **unused):
    raise RuntimeError('write() failed: No space left on device; writing a')

  monkeypatch.setattr(streets.Streets, 'download_and_prepare', fill)
  with pytest.raises(
    errors.UserError, match=r'1\.4\.0: the disk is full; .* again; or set data'
  ):
    registry.load('streets/source_32x64_train1_val1', data_dir=str(tmp_path))


def test_a_folder_that_is_not_read_is_noted_once(tmp_path, capsys):
  for _ in range(2):
    registry.load(
      'streets/source_8x16_train1_val1',
      data_dir=str(tmp_path),
      manual_dir=str(tmp_path / 'raw'),
    )
  said = capsys.readouterr().err
  assert said.count('is not read from files, so manual_dir=') == 1
  assert f'{tmp_path}/raw is ignored' in said
