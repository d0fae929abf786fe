"""Training with broken data, weights, checkpoints and values.

The method learns nothing and reports its inputs, so that little has to be
compiled. Files that have checksums are corrupted: training ends either with a
UserError of one line, or with the same numbers as before. JAXUDA_FUZZ is as in
`test_fuzz`.
"""

import functools
import json
import shutil
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.methods import source_only
from jaxuda.ops import resize
from jaxuda.run import config_fields
from jaxuda.step import parallel
from jaxuda.train import segmentation
from jaxuda.ui import command
from tests import test_fuzz
from tests.data import releases
from tests.weights import official

# A training takes as long as many pictures.
COUNT = -(-test_fuzz.COUNT // 20)
TABLE = 'classes: {a: 1, b: 2}\nignore: [0]\ndepth: {unit: 0.001}\n'


class Watcher(source_only.Method):
  """Reports its inputs, as numbers that depend on every array element."""

  @property
  def needs(self):
    return {
      'source': ('image', 'label', 'depth'),
      'target': ('image', 'depth'),
    }

  def train_step(self, state, batch, key):
    del key
    seen = {}
    for side, fields in batch.items():
      for field, x in fields.items():
        x = x.astype(jnp.float32).ravel()
        weights = jnp.cos(jnp.arange(x.size, dtype=jnp.float32))
        seen[f'{side}_{field}'] = jnp.sum(x * weights)
    return state.replace(step=state.step + 1), parallel.mean(seen)

  def predict(self, state, image, *, size=None):
    del state
    colour = image.astype(jnp.float32).sum(-1)
    maps = [jnp.cos(colour + i) for i in range(self.num_classes)]
    size = image.shape[1:3] if size in (None, 'grid') else size
    return {'logits': resize.resize_align_corners(jnp.stack(maps, -1), size)}


def zeros(fn, *args):
  """Replaces `parallel.init`: nothing is compiled."""
  make = functools.partial(jnp.zeros, device=parallel.replicated())
  shapes = jax.eval_shape(fn, *args)
  return jax.tree.map(lambda x: make(x.shape, x.dtype), shapes)


@pytest.fixture(scope='module', autouse=True)
def _compile_once():
  real = parallel.pmap_step
  # Equal methods share compiled programs.
  step = functools.cache(lambda method: real(method.train_step))
  # The check takes every array to its device in Python.
  with pytest.MonkeyPatch.context() as patch, jax.debug_key_reuse(False):
    patch.setattr(source_only, 'Method', Watcher)
    patch.setattr(parallel, 'init', zeros)
    patch.setattr(parallel, 'pmap_step', lambda fn: step(fn.__self__))
    yield


def train(run, places, *overrides, steps=1):
  """Trains on files; returns all that was logged, and a digest of the network.

  Args:
    run: the run's folder.
    places: 'data', 'depth', 'tfds' and 'weights.pth' -> their paths.
    *overrides: flags.
    steps: number of steps.
  """
  values = {
    'classes': places['data'] / 'classes.yaml',
    'initial': places['weights.pth'],
    'total_steps': 2,
    'stop_step': steps,
    'log_every': 1,
    'eval_every': 0,
    'picture_every': 0,
    'network.backbone': 'resnet_tiny',
    'method.lambda_depth': 0.1,
    'data.data_dir': places['tfds'],
    'data.target.store': 'png',
    'data.target.depth_dir': places['depth'],
  }
  for side in ('source', 'target'):
    values[f'data.{side}.manual_dir'] = places['data']
    values[f'data.{side}.size'] = (6, 10)
  given = [f'--config.{k}={v}' for k, v in values.items()]
  config = command.read_config('source_only:pair=folder', [*given, *overrides])
  state = segmentation.train(config, run)
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  logged = [{**json.loads(x), 'steps_per_second': None} for x in lines]
  digest = zlib.crc32(
    b''.join(np.asarray(x) for x in jax.tree.leaves(state.nets))
  )
  return logged, digest


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
  """Returns places of valid files with a one-step run; log of two steps."""
  root = tmp_path_factory.mktemp('whole')
  generator = np.random.default_rng(0)
  ids = generator.integers(0, 3, (12, 20), np.uint8)
  for split in ('train', 'val'):
    for i in range(2):
      name, picture = f'{split}/{i}.png', test_fuzz.picture(generator)
      depth = generator.integers(500, 9000, ids.shape, np.uint16)
      releases.write(root / 'data/images' / name, picture)
      releases.write(root / 'data/labels' / name, np.roll(ids, i, 1))
      releases.write(root / 'data/depth' / name, depth)
      releases.write(root / 'depth' / name, depth[::-1].copy())
  (root / 'data/classes.yaml').write_text(TABLE)
  (root / 'depth/depth.json').write_text('{"depth_code": "metres"}')
  arrays = official.fill(official.dada(classes=2))
  official.save(arrays, root / 'weights.pth', 'zip')
  names = ('data', 'depth', 'tfds', 'weights.pth', 'run')
  places = {x: root / x for x in names}
  train(places['run'], places)
  shutil.copytree(root / 'run', root / 'longer')
  return places, train(root / 'longer', places, steps=2)


# What is corrupted, and its files.
PLACES = (
  ('data', '*.png'),
  ('depth', '*.png'),
  ('weights.pth', ''),
  ('tfds', '*.array_record*'),
  ('tfds', '*.json'),
  ('run', 'checkpoints/**/*'),
)


@pytest.mark.parametrize(('place', 'pattern'), PLACES)
def test_files(whole, tmp_path, place, pattern):
  places, (logged, digest) = whole
  generator = np.random.default_rng(len(place))
  loud = 0
  for number in range(COUNT):
    mine = {x: tmp_path / f'{number}{x}' for x in (place, 'tfds', 'run')}
    for name in {place, 'tfds'}:
      copy = shutil.copytree if places[name].is_dir() else shutil.copy
      copy(places[name], mine[name])
    found = [x for x in mine[place].glob(f'**/{pattern}') if x.is_file()]
    # orbax draws names.
    found.sort(key=lambda x: (x.parent, x.stat().st_size))
    found = found or [mine[place]]
    victim = found[generator.integers(len(found))]
    if not number:
      # This file is read; other files of a checkpoint may not be.
      victim = max(found, key=lambda x: x.stat().st_size)
    victim.write_bytes(test_fuzz.spoil(generator, victim.read_bytes()))
    steps = 2 if place == 'run' else 1
    read, line = test_fuzz.attempt(
      train, mine['run'], {**places, **mine}, steps=steps
    )
    loud += line is not None
    # JSON has no checksums: a number may be another one, if it is not that of
    # the records.
    if read and pattern != '*.json':
      assert read == (logged[: len(read[0])], digest), victim
  assert loud


# Nonsense.
REFUSED = (
  *('batch_size=0', 'batch_size=3', 'stop_step=0', 'stop_step=3', 'seed=x'),
  *('eval_batch_size=0', 'keep_last=0', 'classes=nowhere.yaml'),
  *('initial=nowhere.pth', 'method.lambda_depth=-1'),
  *('method.lambda_seg=nan', 'optim.momentum=-1', 'optim.betas=()'),
  *('optim.learning_rate=inf', 'optim.name=x', 'network.rates=0'),
  *('network.image_mean=1', 'network.backbone=resnet_tny'),
  *('data.source.fraction=nan', 'data.source.first=-1', 'data.source.size=0'),
  *('data.source.crop=(9, 9)', 'data.source.split=nothing'),
  *('data.source.manual_dir=nowhere', 'data.source.dataset=nothing'),
  *('data.target.store=jpg', 'data.target.eval_split=nothing'),
  *('data.target.fit=x', 'data.target.depth_dir=nowhere', 'data.resize=x'),
)


def test_nonsense(whole, tmp_path):
  for number, text in enumerate(REFUSED):
    read, _ = test_fuzz.attempt(
      train, tmp_path / str(number), whole[0], f'--config.{text}'
    )
    assert read is None, text


# Values that some fields accept and most do not.
VALUES = ('-1', '0', '3', 'nan', 'inf', '1e30', 'x', '', 'None', '()', '(0, 0)')


def test_values(whole, tmp_path):
  """Nonsense ends with one line, or does not affect the inputs."""
  places, _ = whole
  config = command.read_config('source_only:pair=folder').to_dict()
  # Prepared data would be written anywhere.
  fields = sorted(set(config_fields.flatten(config)) - {'data.data_dir'})
  generator = np.random.default_rng(0)
  refused = 0
  for number in range(2 * COUNT):
    field, value = generator.choice(fields), generator.choice(VALUES)
    flag = f'--config.{field}={value}'
    read, _ = test_fuzz.attempt(train, tmp_path / str(number), places, flag)
    refused += read is None
  assert refused
