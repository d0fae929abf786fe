"""Runs with the user's own class set, on two of the user's own folders."""

import json
import shutil

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.evaluate import evaluation
from jaxuda.predict import prediction
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.train import segmentation
from jaxuda.ui import command
from jaxuda.ui import panels
from tests import tiny

NAMES = ('floor', 'wall', 'chair')
IDS = {'source': (10, 0, 7), 'target': (3, 4, 5)}
SIZE = (16, 24)


def _write(root, side):
  rng = np.random.default_rng(len(side))
  for split in ('train', 'val'):
    for i in range(3):
      label = rng.integers(0, len(NAMES), (4, 6)).repeat(4, 0).repeat(4, 1)
      maps = {
        'images': np.stack([label * 100, 255 - label * 100, label], -1),
        'labels': np.array(IDS[side])[label],
        'depth': (300 + label * 300 + i).astype(np.uint16),
      }
      for kind, values in maps.items():
        path = root / side / kind / split / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = values if kind == 'depth' else values.astype(np.uint8)
        cv2.imwrite(str(path), kept)
  table = dict(zip(NAMES, IDS[side], strict=True))
  (root / side / 'classes.json').write_text(
    json.dumps({'classes': table, 'depth': {}})
  )


@pytest.fixture
def config(tmp_path, monkeypatch):
  monkeypatch.setattr(methods, 'create', tiny.create)
  for side in ('source', 'target'):
    _write(tmp_path, side)
  path = tmp_path / 'own.yaml'
  path.write_text('classes: [chair, floor, wall]\ncolors: {wall: "#102030"}')
  config = command.read_config(f'source_only:pair=folder,classes={path}')
  config.name, config.method = 'tiny', {}
  config.data.data_dir = str(tmp_path / 'tfds')
  for side in ('source', 'target'):
    config.data[side].manual_dir = str(tmp_path / side)
    config.data[side].size = SIZE
  config.total_steps = config.stop_step = 60
  config.eval_every = config.checkpoint_every = config.picture_every = 60
  return config


def test_a_run_on_two_folders(config, tmp_path):
  workdir = tmp_path / 'run'
  segmentation.train(config, workdir)
  last = workdir_lib.read_scores(workdir)['last']
  assert last['main'] == 'mIoU3'
  figure = last['figures']['mIoU3']
  # The colours define the labels.
  assert figure['value'] == 100
  assert figure['subset'] == ['chair', 'floor', 'wall']
  assert figure['classes'].startswith('own3-')
  assert json.loads((workdir / 'classes.json').read_text()) == {
    'classes': ['chair', 'floor', 'wall'],
    'colors': ['#800000', '#008000', '#102030'],
  }
  # Somewhere else, without the table.
  (tmp_path / 'own.yaml').unlink()
  moved = tmp_path / 'moved'
  shutil.move(workdir, moved)
  run = workdir_lib.load(moved)
  assert run.config.num_classes == 3
  scores = evaluation.run(run.method, run.state, run.config, step=run.step)
  assert scores['figures']['mIoU3'] == figure
  prediction.run_folder(run, tmp_path / 'target/images/val', tmp_path / 'out')
  label = panels.read_image(tmp_path / 'target/labels/val/0.png')[..., 0]
  ids = cv2.imread(str(tmp_path / 'out/ids/0.png'), cv2.IMREAD_UNCHANGED)
  # chair, floor, wall are 5, 3 and 4 in the target.
  np.testing.assert_array_equal(np.array([5, 3, 4])[ids], label)
  painted = panels.read_image(tmp_path / 'out/colors/0.png')
  assert painted[label == 4].tolist()[0] == [0x10, 0x20, 0x30]
  # Another table's subset of the classes.
  (tmp_path / 'less.yaml').write_text('classes: [wall, chair]')
  less = str(tmp_path / 'less.yaml')
  scores = evaluation.run(
    run.method, run.state, run.config, step=1, classes=less
  )
  assert scores['figures']['mIoU2']['value'] == 100


def test_a_changed_table_is_another_run(config, tmp_path):
  table, workdir = tmp_path / 'own.yaml', tmp_path / 'run'
  config.stop_step = 2
  segmentation.train(config, workdir)
  config.stop_step = 4
  table.write_text('classes: [floor, chair, wall]')
  with pytest.raises(errors.UserError, match='expected chair, floor, wall, wi'):
    segmentation.train(config, workdir)
  # In another place and with other colours it is the same.
  other = tmp_path / 'other.json'
  other.write_text('{"classes": ["chair", "floor", "wall"]}')
  config.classes = str(other)
  assert int(segmentation.train(config, workdir).step) == 4
  config.classes = 'cityscapes19'
  with pytest.raises(errors.UserError, match='differing: classes'):
    segmentation.train(config, workdir)


def test_count():
  config = tiny.make_config(classes='cityscapes19', num_classes=7)
  assert own_classes.count(config).num_classes == 19
  assert config.num_classes == 7
  config.classes = 'none.yaml'
  with pytest.raises(errors.UserError, match=r'class table none\.yaml'):
    own_classes.count(config)


def test_built_in_sets_are_not_copied(tmp_path):
  config = tiny.make_config()
  assert own_classes.keep(config, tmp_path, begun=False) is config
  assert not list(tmp_path.iterdir())
