"""The self-supervised tool with a tiny network on rendered streets."""

import dataclasses
import functools
import json

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.depth import maps
from jaxuda.depth.mono import disparity
from jaxuda.depth.mono import scoring
from jaxuda.depth.mono import self_supervised
from jaxuda.depth.mono import training
from jaxuda.ops import warp
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command
from tests import filling

TINY = {'network': 'tiny', 'scales': (3,)}


@pytest.fixture(scope='module', name='data_dir')
def _data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('tfds'))


@pytest.fixture(autouse=True, scope='module')
def _cache(tmp_path_factory):
  """Runs that are stopped and resumed compile the same step."""
  name = 'jax_compilation_cache_dir'
  limit = 'jax_persistent_cache_min_compile_time_secs'
  before = {x: getattr(jax.config, x) for x in (name, limit)}
  jax.config.update(name, str(tmp_path_factory.mktemp('cache')))
  jax.config.update(limit, 0.0)
  yield
  for option, value in before.items():
    jax.config.update(option, value)


def make_config(data_dir, **changes):
  config = ml_collections.ConfigDict(command.read_config('monodepth').to_dict())
  config.update(
    {
      'total_steps': 4,
      'stop_step': 4,
      'batch_size': 2,
      'log_every': 1,
      'eval_every': 0,
      'checkpoint_every': 2,
      'picture_every': 0,
      **changes,
    }
  )
  config.method.update(TINY)
  config.data.update(
    {
      'dataset': 'streets/target_32x64_train4_val2_sequence',
      'data_dir': data_dir,
      'size': (32, 64),
    }
  )
  return config


def assert_same(state, other):
  jax.tree.map(np.testing.assert_array_equal, state, other)


def make_batch(rows=2, size=(32, 64)):
  generator = np.random.default_rng(0)
  views = generator.integers(0, 256, (3, rows, *size, 3), np.uint8)
  eye = np.tile(np.eye(4, dtype=np.float32), (rows, 1, 1))
  return {
    **dict(zip(('image', 'previous', 'next'), views, strict=True)),
    'intrinsics': np.tile(np.float32([[60, 60, 31.5, 15.5]]), (rows, 1)),
    'motion_previous': eye,
    'motion_next': eye,
  }


@functools.cache
def compile_step(method):
  return jax.pmap(
    method.train_step, axis_name=parallel.AXIS, in_axes=(None, 0, None)
  )


def run_step(method, batch):
  batch = {k: batch[k] for k in method.needs}
  state = filling.fill_state(method, batch)
  step = compile_step(method)
  return state, *step(state, parallel.shard(batch), rng.root(1))


def test_a_run_that_was_stopped_ends_the_same(data_dir, tmp_path):
  whole = training.train(make_config(data_dir, eval_every=4), tmp_path / 'a')
  training.train(make_config(data_dir, stop_step=2), tmp_path / 'b')
  state = training.train(make_config(data_dir, eval_every=4), tmp_path / 'b')
  assert int(state.step) == 4
  assert_same(whole, state)
  lines = [
    json.loads(x)
    for x in (tmp_path / 'b/metrics.jsonl').read_text().split('\n')[:-1]
  ]
  steps = [x['step'] for x in lines if x['kind'] == 'train']
  assert steps == [1, 2, 3, 4]
  scores = workdir_lib.read_scores(tmp_path / 'b')
  assert scores['last']['images'] == 2
  assert 0 < scores['last']['abs_rel'] < 5
  assert list((tmp_path / 'b/pictures').glob('depth_*.png'))
  loaded = training.load(tmp_path / 'b', which='best')
  assert loaded.step == 4
  assert_same(loaded.state, state)


def test_replicas_stay_equal_and_every_network_moves():
  method = self_supervised.Method(total_steps=10, **TINY)
  state, new, metrics = run_step(method, make_batch())
  assert set(new.nets) == {'depth', 'pose'}
  for path, leaf in jax.tree_util.tree_leaves_with_path((new, metrics)):
    both = np.asarray(leaf)
    assert np.isfinite(both).all(), path
    np.testing.assert_array_equal(both[0], both[1], err_msg=str(path))
  for name, net in new.nets.items():
    before = jax.tree.leaves(state.nets[name].params)
    after = jax.tree.leaves(net.params)
    assert any(np.any(a[0] != b) for a, b in zip(after, before, strict=True)), (
      name
    )


def test_known_motions_teach_metres():
  """Trains on a wall 6 m away and a camera that moves sideways by 0.1 m."""
  method = self_supervised.Method(
    total_steps=100,
    motion='known',
    auto_mask=False,
    reprojection='mean',
    jitter=0,
    min_depth=2.0,
    max_depth=50.0,
    learning_rate=3e-3,
    **TINY,
  )
  generator = np.random.default_rng(0)
  picture = generator.integers(0, 256, (40, 80, 3), np.uint8)
  picture = cv2.GaussianBlur(picture, (0, 0), 2)
  picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
  batch = make_batch()
  # One pixel, and 60 pixels of focal length.
  for i, view in enumerate(('previous', 'image', 'next')):
    batch[view][:] = picture[4:36, 6 + i : 70 + i]
  for view, shift in (('previous', 0.1), ('next', -0.1)):
    batch[f'motion_{view}'][:, 0, 3] = shift
  batch = {k: batch[k] for k in method.needs}
  state = parallel.init(method.init, rng.for_init(0), batch)
  assert set(state.nets) == {'depth'}
  step = parallel.pmap_step(method.train_step)
  losses = []
  for _ in range(30):
    state, metrics = step(state, parallel.shard(batch), rng.root(0))
    losses.append(float(metrics['loss_photometric']))
  assert float(metrics['moving']) == 1
  assert losses[-1] < 0.5 * losses[0]


def test_still_pictures_are_masked():
  batch = make_batch()
  batch['previous'] = batch['next'] = batch['image']
  # The images that are compared have no jitter.
  method = self_supervised.Method(total_steps=10, **TINY)
  _, _, metrics = run_step(method, batch)
  assert float(metrics['moving'][0]) < 0.05


def test_motions_are_those_of_the_order_of_time():
  """The camera drives forward: the previous frame is behind it."""
  method = self_supervised.Method(total_steps=10, **TINY)
  motion = warp.rigid_motion(jnp.zeros((4, 3)), jnp.float32([[0, 0, -0.5]] * 4))

  class Pose:
    """Predicts that everything comes half a metre nearer."""

    def apply(self, variables, first, second, **unused):
      del variables, second
      assert first.shape[0] == 4
      still = (jnp.zeros((4, 3)), jnp.float32([[0, 0, -0.5]] * 4))
      return still, {'batch_stats': {}}

  fake = type('Fake', (self_supervised.Method,), {'pose_net': Pose()})
  method = fake(total_steps=10, **TINY)
  batch = {k: jnp.zeros((2, 8, 8, 3)) for k in ('image', 'previous', 'next')}
  net = dataclasses.make_dataclass('Net', ['batch_stats'])({})
  state = dataclasses.make_dataclass('State', ['nets'])({'pose': net})
  (before, after), _ = method._predict_motions(
    state, {'pose': {}}, batch, batch
  )
  np.testing.assert_allclose(after, motion[:2])
  np.testing.assert_allclose(before[:, 2, 3], 0.5)


def test_errors_by_hand_after_scaling():
  truth = np.array([[4.0, 8.0, 16.0, 100.0]])
  inverse = 1 / np.array([[2.0, 4.0, 12.0, 1.0]])
  # The medians are 8 and 4: the prediction is 4, 8 and 24 m.
  result = scoring.depth_errors(inverse, truth)
  assert result['abs_rel'] == pytest.approx(0.5 / 3)
  assert result['sq_rel'] == pytest.approx(64 / 16 / 3)
  assert result['rms'] == pytest.approx((64 / 3) ** 0.5)
  assert result['log_rms'] == pytest.approx((np.log(1.5) ** 2 / 3) ** 0.5)
  assert result['delta1'] == pytest.approx(2 / 3)
  assert result['delta2'] == 1
  other = scoring.depth_errors(100 * inverse, truth)
  assert other['abs_rel'] == pytest.approx(result['abs_rel'])
  assert scoring.depth_errors(inverse, 0 * truth) == {}


@pytest.fixture(scope='module', name='run')
def _run(data_dir):
  config = make_config(data_dir)
  method = training.create_method(config)
  state = method.init(rng.root(0), {'image': np.zeros((1, 32, 64, 3))})
  return workdir_lib.Run(config=config, method=method, state=state, step=7)


def test_disparities_of_a_folder(run, tmp_path):
  generator = np.random.default_rng(0)
  for name, size in (('a.png', (32, 64)), ('b/c.jpg', (50, 90))):
    path = tmp_path / 'images' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = generator.integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(picture).save(path)
  images = maps.Folder(tmp_path / 'images')
  out = tmp_path / 'out'
  run.config.data.crop_bottom = 0.25
  assert disparity.write_disparities(run, images, out) == 2
  read = lambda name: cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
  raw = read('a.png'), read('b/c.png')
  assert [(x.shape, x.dtype) for x in raw] == [
    ((32, 64), np.uint16),
    ((50, 90), np.uint16),
  ]
  # Cropped pixels have no value; the nearest of all is at the top.
  assert (raw[0][24:] == 0).all()
  assert (raw[0][:24] > 0).all()
  assert max(x.max() for x in raw) == 65535
  tree = json.loads((out / 'depth.json').read_text())
  assert tree['depth_code'] == 'inverse'
  assert tree['checkpoint_step'] == 7
  run.config.data.crop_bottom = 0.0
  disparity.write_disparities(run, images, out, normalization='none')
  small = np.asarray(Image.open(tmp_path / 'images/a.png'))
  inverse = scoring.predict_disparity(run.method, run.state, [small])[0]
  expected = 65535 * cv2.resize(inverse, (64, 32)) * run.method.min_depth
  np.testing.assert_allclose(read('a.png'), expected, atol=1)
  (tmp_path / 'images/a.jpg').write_bytes(b'nothing')
  images, out = maps.Folder(tmp_path / 'images'), tmp_path / 'some'
  with pytest.raises(errors.UserError, match=r'read: 1 of 3: .*a\.jpg is not'):
    disparity.write_disparities(run, images, out)
  assert len(list(out.rglob('*.png'))) == 2
  # Maps of other images would change their meaning.
  (out / 'other.png').write_bytes(b'')
  with pytest.raises(errors.UserError, match=r'other\.png belongs to other im'):
    disparity.write_disparities(run, images, out, normalization='none')
  (out / 'depth.json').unlink()
  with pytest.raises(errors.UserError, match=r'no depth\.json of jaxuda'):
    disparity.write_disparities(run, images, out)
  with pytest.raises(errors.UserError, match='normalization'):
    disparity.write_disparities(run, images, out, normalization='most')


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('name', 'dada', "config.name='dada'; expected monodepth"),
    ('stop_step', 5, 'stop_step=5; expected at most'),
    ('batch_size', 3, 'does not divide over 2 devices'),
    ('data.size', (33, 64), 'multiples of 32'),
    ('method.scales', (), 'method.scales'),
    ('method.min_depth', 0.0, 'method.min_depth'),
    ('method.motion', 'none', 'method.motion'),
    ('method.network', 'vgg', "unknown depth network 'vgg'"),
    ('data.dataset', 'streets/target_32x64_train4_val2', 'no intrinsics'),
  ],
)
def test_mistakes_are_named(data_dir, tmp_path, field, value, message):
  config = make_config(data_dir)
  config.update_from_flattened_dict({field: value})
  with pytest.raises(errors.UserError, match=message):
    training.train(config, tmp_path)


def test_an_unknown_field_is_named(data_dir):
  config = make_config(data_dir)
  config.method = {**config.method.to_dict(), 'lambda_smoth': 1}
  with pytest.raises(errors.UserError, match='lambda_smoth'):
    training.create_method(config)
