"""A finished run on a split and a folder that it has never seen."""

import json
import shutil
import types

import numpy as np
from PIL import Image
import pytest

from configs import common
from jaxuda import errors
from jaxuda import methods
from jaxuda.evaluate import __main__ as command
from jaxuda.evaluate import metrics
from jaxuda.evaluate import other_data
from jaxuda.run import workdir as workdir_lib
from jaxuda.train import segmentation
from tests import tiny

SIZE = (8, 16)
# Ids of the folders' labels: road, sky and car of the 19 classes.
CLASSES = {1: 0, 2: 10, 3: 13}


class Flags(types.SimpleNamespace):
  """The values of the command's flags."""

  def __getitem__(self, name):
    return types.SimpleNamespace(value=getattr(self, name, None))


def write(root, splits, *, seed, depth=False):
  """Writes random pictures; returns (image, label) of each example."""
  rng, made = np.random.default_rng(seed), {}
  for split in splits:
    for i in range(3):
      image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
      label = rng.integers(1, 4, SIZE, np.uint8)
      arrays = {'images': image, 'labels': label}
      if depth:
        arrays['depth'] = rng.integers(500, 9000, SIZE, np.uint16)
      for kind, array in arrays.items():
        path = root / kind / split / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
      made.setdefault(split, []).append((image, label))
  (root / 'classes.yaml').write_text(
    'classes: {road: 1, sky: 2, car: 3}\n' + ('depth: {}\n' if depth else '')
  )
  return made


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  monkeypatch.setattr(methods, 'create', tiny.create)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Returns the workdir of a finished run, and the examples of its target."""
  tmp_path = tmp_path_factory.mktemp('trained')
  write(tmp_path / 'source', ['train'], seed=0, depth=True)
  made = write(tmp_path / 'target', ['train', 'val', 'test'], seed=1)
  config = common.base('tiny', 'folder', 'cityscapes19')
  config.data.data_dir = str(tmp_path / 'tfds')
  for side in ('source', 'target'):
    config.data[side].manual_dir = str(tmp_path / side)
    config.data[side].size = SIZE
  config.stop_step = 1
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(methods, 'create', tiny.create)
    segmentation.train(config, tmp_path / 'run')
  return tmp_path / 'run', made


@pytest.fixture
def run(trained, tmp_path):
  workdir, made = trained
  return shutil.copytree(workdir, tmp_path / 'run'), made


def score(workdir, **given):
  """Runs the command; returns the new files."""
  unset = (
    *('weights', 'against', 'network', 'family', 'config', 'split'),
    *('classes', 'out', 'data_dir', 'manual_dir', 'eval_batch_size'),
  )
  before = {p: p.read_text() for p in workdir.glob('evaluation*.json')}
  command._main(
    Flags(
      **{
        **dict.fromkeys(unset),
        'workdir': str(workdir),
        'checkpoint': 'last',
        'scales': ['1'],
        'flip': False,
        'window': False,
        'statistics': 'own',
        **given,
      }
    )
  )
  for path, text in before.items():
    if path.name != 'evaluation.json':
      assert path.read_text() == text, path
  return {p.name for p in workdir.glob('evaluation*.json') if p not in before}


def expected_iou(workdir, examples):
  """Computes the IoU of road, sky and car in percent, pixel by pixel."""
  state = workdir_lib.load(workdir).state
  kernel = np.asarray(state.nets['task'].params['kernel'])
  confusion = np.zeros((19, 19), np.int64)
  for image, label in examples:
    prediction = (image.astype(np.float32) / 128 - 1) @ kernel
    true = np.vectorize(CLASSES.get)(label)
    np.add.at(confusion, (true, prediction.argmax(-1)), 1)
  return 100 * metrics.iou_per_class(confusion)[list(CLASSES.values())]


def read(workdir, name):
  scores = json.loads((workdir / name).read_text())
  iou = scores['figures']['IoU']['value']
  return scores, [iou[x] for x in ('road', 'sky', 'car')]


def test_a_split_and_a_folder_that_were_kept_back(run, trained, tmp_path):
  workdir, made = run
  assert score(workdir) == {'evaluation.json'}
  scores, iou = read(workdir, 'evaluation.json')
  np.testing.assert_allclose(
    iou, expected_iou(workdir, made['val']), atol=0.0051
  )
  assert scores['data'] == {
    'dataset': 'folder/target',
    'split': 'val',
    'manual_dir': str(trained[0].parent / 'target'),
  }

  name = 'evaluation_folder-target_test_target.json'
  assert score(workdir, split='test') == {name}
  scores, iou = read(workdir, name)
  np.testing.assert_allclose(
    iou, expected_iou(workdir, made['test']), atol=0.0051
  )
  assert scores['data']['split'] == 'test'
  assert scores['figures']['mIoU19']['split'] == 'test'

  kept = write(tmp_path / 'kept', ['val'], seed=2)
  flag = {'data.target.manual_dir': str(tmp_path / 'kept')}
  name = 'evaluation_folder-target_val_kept.json'
  assert score(workdir, **flag) == {name}
  scores, iou = read(workdir, name)
  np.testing.assert_allclose(
    iou, expected_iou(workdir, kept['val']), atol=0.0051
  )
  assert scores['data']['manual_dir'] == str(tmp_path / 'kept')
  # The scores of the training stay what they were.
  scores, iou = read(workdir, 'evaluation.json')
  np.testing.assert_allclose(
    iou, expected_iou(workdir, made['val']), atol=0.0051
  )


def test_the_same_again_is_the_same_file_and_other_data_another(run, tmp_path):
  workdir, _ = run
  for place in ('a', 'b'):
    write(tmp_path / place / 'kept', ['val'], seed=3)
  a, b = ({'data.target.manual_dir': str(tmp_path / x / 'kept')} for x in 'ab')
  name = 'evaluation_folder-target_val_kept{}.json'
  assert score(workdir, **a) == {name.format('')}
  assert score(workdir, **a) == set()
  assert score(workdir, **b) == {name.format('_2')}
  assert score(workdir, flip=True, **b) == {name.format('_3')}
  assert score(workdir, **b) == set()


def test_a_folder_with_a_long_name_has_a_file(tmp_path):
  data = {'dataset': 'folder/target', 'split': 'val'}
  made = {'figures': {'m': {'value': 1}}, 'main': 'm'}
  for i, ending in enumerate('ab', 1):
    place = str(tmp_path / ('x' * 250 + ending))
    scores = {**made, 'data': {**data, 'manual_dir': place}}
    path = other_data.choose_file(tmp_path / 'evaluation.json', scores)
    path.write_text(json.dumps(scores))
    assert path.name.startswith('evaluation_folder-target_val_xxx')
    assert len({*tmp_path.iterdir()}) == i


def test_windows_of_images_that_were_stored_small(run):
  workdir, _ = run
  small = {'data.target.store': 'png'}
  with pytest.raises(errors.UserError, match=r'--data\.target\.store=raw'):
    score(workdir, window=True, **small)
  assert score(workdir, **small) == {'evaluation.json'}


def test_another_dataset_is_not_looked_for_in_the_run_s_folder(run, tmp_path):
  workdir, _ = run
  other = {'data.target.dataset': 'folder/other'}
  with pytest.raises(errors.UserError, match='manual_dir is not set'):
    score(workdir, **other)
  write(tmp_path / 'kept', ['test'], seed=2)
  place = {'data.target.manual_dir': str(tmp_path / 'kept')}
  assert score(workdir, split='test', **other, **place) == {
    'evaluation_folder-other_test_kept.json'
  }
  with pytest.raises(errors.UserError, match=r"no split 'val'; expected.*test"):
    score(workdir, **other, **place)
  # The older flag says the same.
  older = {'manual_dir': str(tmp_path / 'kept')}
  assert score(workdir, split='test', **other, **older) == set()


def test_scores_are_kept_whatever_becomes_of_the_table(run, monkeypatch):
  def print_scores(*unused):
    raise BrokenPipeError

  monkeypatch.setattr(command.scores, 'print_scores', print_scores)
  with pytest.raises(BrokenPipeError):
    score(run[0])
  assert (run[0] / 'evaluation.json').is_file()


@pytest.mark.parametrize(
  ('network', 'name'),
  [
    ('', 'a.pth.evaluation.json'),
    ('teacher', 'a.pth.teacher.evaluation.json'),
    ('ema/model', 'a.pth.ema-model.evaluation.json'),
  ],
)
def test_networks_of_one_file_have_files_of_their_own(network, name):
  given = Flags(workdir=None, weights='a.pth', network=network)
  given.statistics = 'own'
  assert command._name_file(given).name == name


def test_a_comparison_that_fails_loses_no_scores(run, tmp_path):
  workdir, made = run
  write(tmp_path / 'kept', ['val'], seed=3)
  for path in (tmp_path / 'kept').rglob('0.png'):
    path.rename(path.with_name('other.png'))
  against = shutil.copytree(workdir, tmp_path / 'against')
  tree = json.loads((against / 'config.json').read_text())
  tree['data']['target']['manual_dir'] = str(tmp_path / 'kept')
  (against / 'config.json').write_text(json.dumps(tree))
  with pytest.raises(errors.UserError, match='was scored on other images'):
    score(workdir, against=str(against))
  _, iou = read(workdir, 'evaluation.json')
  np.testing.assert_allclose(
    iou, expected_iou(workdir, made['val']), atol=0.0051
  )


@pytest.mark.parametrize('wrong', [{'split': 'tset'}, {'classes': 'city'}])
def test_mistakes_are_named_before_statistics_are_measured(
  run, monkeypatch, wrong
):
  unread = lambda *_: pytest.fail('images were read')
  monkeypatch.setattr(command.norm_statistics, 'reestimate', unread)
  (value,) = wrong.values()
  with pytest.raises(errors.UserError, match=f"'{value}'; expected one of"):
    score(run[0], statistics='target', **wrong)


def test_what_is_given_replaces_and_what_is_not_stays():
  config = tiny.make_config()
  config.data.target.manual_dir = 'DIR'
  other_data.replace(config, {'dataset': 'tiny', 'manual_dir': None})
  assert config.data.target.manual_dir == 'DIR'
  other_data.replace(config, {'dataset': 'big', 'manual_dir': None})
  assert config.data.target.manual_dir is None
  assert other_data.describe(config, split='x') == {
    'dataset': 'big',
    'split': 'x',
    'manual_dir': None,
  }
