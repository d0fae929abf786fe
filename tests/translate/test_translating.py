import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.train import warm_start
from jaxuda.translate import translating

SIZE = (6, 8)
NAMES = ('a', 'b/c', 'd')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """Inverts images, and adds the class to the red channel."""

  shift: float = 0.0

  def translate(self, state, source):
    image = 255.0 - source['image']
    return image.at[..., 0].add(source['label'] + self.shift)


def make_examples():
  generator = np.random.default_rng(0)
  for name in NAMES:
    yield {
      'name': name.encode(),
      'image': generator.integers(100, 256, (*SIZE, 3), np.uint8),
      'label': generator.choice([0, 2, 13, 255], SIZE).astype(np.int32),
      'depth': generator.uniform(1, 90, SIZE).astype(np.float32),
      'depth_valid': generator.uniform(size=SIZE) < 0.8,
    }


@pytest.fixture
def run(monkeypatch):
  def stream(data_config, *, domain, fields, optional, classes):
    del data_config
    assert (domain, fields) == ('source', ('image', 'label', 'depth'))
    assert (optional, classes) == (('depth',), 'cityscapes19')
    return make_examples(), len(NAMES)

  monkeypatch.setattr(pipeline, 'image_stream', stream)
  config = ml_collections.ConfigDict(
    {'name': 'x', 'classes': 'coarse7', 'data': {'source': {'dataset': 'y'}}}
  )
  gen = state_lib.Net(params={'k': jnp.ones(1)}, batch_stats={}, opt_state=())
  state = state_lib.create({'gen': gen})
  return workdir_lib.Run(config=config, method=Method(), state=state, step=7)


def _data(root):
  side = {
    'dataset': 'folder',
    'manual_dir': str(root / 'out'),
    'split': 'train',
    'size': SIZE,
    'crop': (0, 0),
    'flip': False,
    'fraction': 1.0,
    'image_resize': 'bicubic',
  }
  return ml_collections.ConfigDict(
    {
      'data_dir': str(root / 'tfds'),
      'resize': 'reference',
      'zero_depth': 'keep',
      'far_depth': 'keep',
      'source': side,
    }
  )


def test_what_is_written_can_be_trained_on(tmp_path, run, monkeypatch):
  assert translating.write_set(run, tmp_path / 'out') == 3
  # The same command again writes nothing.
  file = tmp_path / 'out' / 'images' / 'train' / 'b' / 'c.png'
  before = file.stat().st_mtime_ns
  translating.write_set(run, tmp_path / 'out')
  assert file.stat().st_mtime_ns == before
  monkeypatch.undo()
  stream, count = pipeline.image_stream(
    _data(tmp_path),
    domain='source',
    fields=('image', 'label', 'depth'),
    classes='synthia16',
  )
  assert count == 3
  found = {x['name'].decode().removeprefix('train/'): x for x in stream}
  merge = labels.merge_map('cityscapes19', 'coarse7')
  to_16 = labels.merge_map('cityscapes19', 'synthia16')
  for example in make_examples():
    read = found[example['name'].decode()]
    image = 255 - example['image'].astype(int)
    image[..., 0] += merge[example['label']]
    np.testing.assert_array_equal(read['image'], image.clip(0, 255))
    np.testing.assert_array_equal(read['label'], to_16[example['label']])
    valid = example['depth_valid']
    np.testing.assert_array_equal(read['depth_valid'], valid)
    np.testing.assert_allclose(
      read['depth'][valid], example['depth'][valid], atol=0.0051
    )


def test_depth_in_centimetres(tmp_path):
  example = {
    'label': np.zeros((1, 5), np.int32),
    'depth': np.array([[0.0, 1.234, 655.35, 9000.0, 5.0]]),
    'depth_valid': np.array([[True, True, True, True, False]]),
  }
  translating._write(tmp_path, 'a', example)
  file = tmp_path / 'depth' / 'train' / 'a.png'
  raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
  np.testing.assert_array_equal(raw, [[1, 123, 65535, 65535, 0]])
  assert raw.dtype == np.uint16


def test_mistakes_are_named(tmp_path, run):
  out = tmp_path / 'out'
  translating.write_set(run, out)
  described = json.loads((out / 'translation.json').read_text())
  assert described['checkpoint_step'] == 7
  other = dataclasses.replace(run, step=8)
  with pytest.raises(errors.UserError, match='holds something else'):
    translating.write_set(other, out)
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match='is a file'):
    translating.write_set(run, tmp_path / 'file')
  none = dataclasses.replace(run, state=run.state.replace(nets={}))
  with pytest.raises(errors.UserError, match='no image transform network'):
    translating.write_set(none, tmp_path / 'new')


def test_killed_before_the_first_image(tmp_path, run, monkeypatch):
  out = tmp_path / 'out'
  write = workdir_lib.write_json

  def killed(path, tree):
    if path.name == 'classes.json':
      (path.parent / '.1234abcd.17.part.json').touch()
      raise KeyboardInterrupt
    write(path, tree)

  monkeypatch.setattr(workdir_lib, 'write_json', killed)
  with pytest.raises(KeyboardInterrupt):
    translating.write_set(run, out)
  assert not (out / 'classes.json').exists()
  monkeypatch.setattr(workdir_lib, 'write_json', write)
  assert translating.write_set(run, out) == 3
  assert len(json.loads((out / 'classes.json').read_text())['classes']) == 19
  # A part alone is not what someone else put there.
  other = tmp_path / 'other'
  other.mkdir()
  (other / '.1234abcd.17.part.json').touch()
  assert translating.write_set(run, other) == 3
  (tmp_path / 'mine' / '.git').mkdir(parents=True)
  with pytest.raises(errors.UserError, match='holds something else'):
    translating.write_set(run, tmp_path / 'mine')


def test_a_generator_of_another_run(monkeypatch, run):
  mine = run.state.nets['gen'].replace(params={'k': jnp.zeros(1)})
  state = state_lib.create({'gen': mine, 'task': mine})
  with pytest.raises(errors.UserError, match=r'expected --config\.generator'):
    warm_start.load_generator(state, None)

  def load(workdir, *, which, only):
    assert (workdir, which) == ('there', '5')
    assert only('nets/gen/params/k')
    assert not only('nets/gen/opt_state/k')
    return run

  monkeypatch.setattr(workdir_lib, 'load', load)
  loaded = warm_start.load_generator(state, 'there', which='5')
  assert float(loaded.nets['gen'].params['k'][0]) == 1
  assert float(loaded.nets['task'].params['k'][0]) == 0
  wide = state_lib.create({'gen': mine.replace(params={'k': jnp.zeros(2)})})
  with pytest.raises(errors.UserError, match='gen_width and gen_blocks'):
    warm_start.load_generator(wide, 'there', which='5')


def test_predictions_read_what_they_need(tmp_path):
  net = state_lib.Net(
    params={'k': jnp.ones(3)}, batch_stats={'m': jnp.zeros(2)}, opt_state=(1.0,)
  )
  state = state_lib.create({'task': net, 'gen': net})
  state = jax.tree.map(jnp.asarray, state)
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(3, state, config={'name': 'x'})
    checkpoints.wait()
    read = checkpoints.restore(3, state, name='x', only=workdir_lib.predicts)
  np.testing.assert_array_equal(read.nets['task'].params['k'], np.ones(3))
  np.testing.assert_array_equal(read.nets['task'].batch_stats['m'], np.zeros(2))
  assert read.nets['task'].opt_state == (None,)
  assert read.nets['gen'].params == {'k': None}
  assert int(read.step) == 0
