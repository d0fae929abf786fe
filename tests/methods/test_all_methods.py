"""What must hold for every method and every ablation."""

import atexit
import dataclasses
import functools
import importlib
import pathlib
import shutil
import tempfile

import jax
from jax.interpreters import partial_eval
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.methods import advent
from jaxuda.methods import corda
from jaxuda.methods import cyclegan
from jaxuda.methods import dacs
from jaxuda.methods import dada
from jaxuda.methods import depdis
from jaxuda.methods import gio_ada
from jaxuda.methods import self_training
from jaxuda.methods import source_only
from jaxuda.methods.parts import mixtures
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import rng
from tests import filling

NETWORK = deeplab.Options(
  backbone='resnet_tiny', init='he', train_affine=True, image_scale=(0.02,) * 3
)
COMMON = {'num_classes': 5, 'total_steps': 100, 'network': NETWORK}
DISC = {'disc_width': 8}
VGG = deeplab.Options(
  backbone='vgg_tiny',
  init='he',
  decoder='aspp_l',
  decoder_width=8,
  dropout=0.5,
)


def write_mixtures():
  """Writes mixtures over the grid of `make_batch`, for the test run."""
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder)
  path = pathlib.Path(folder) / 'mixtures.npz'
  rng = np.random.default_rng(0)
  made = mixtures.Mixtures(
    weights=rng.dirichlet(np.ones(2), 5),
    means=rng.uniform(0, [7, 5, 40], (5, 2, 3)),
    covariances=rng.uniform(4, 400, (5, 2, 3)),
    counts=np.array([900, 50, 40, 9, 1]),
    grid=(6, 8),
    info={},
  )
  mixtures.write(path, made)
  return str(path)


MIXTURES = {'mixtures': write_mixtures()}

VARIANTS = {
  'source_only': source_only.Method(**COMMON),
  'source_only-depth': source_only.Method(
    lambda_depth=1e-3, fuse=True, **COMMON
  ),
  'source_only-adabn': source_only.Method(statistics='target', **COMMON),
  'advent': advent.Method(**COMMON, **DISC),
  'advent-minent': advent.Method(align='minent', **COMMON),
  'advent-output-multi': advent.Method(
    align='output', multi_level=True, **COMMON, **DISC
  ),
  'dada': dada.Method(**COMMON, **DISC),
  'dada-S1': dada.Method(align='none', lambda_depth=0, fuse=False, **COMMON),
  'dada-S4': dada.Method(align='depth', fuse=False, **COMMON, **DISC),
  'dada-S6': dada.Method(align='separate', **COMMON, **DISC),
  'depdis': depdis.Method(**COMMON, **DISC, **MIXTURES),
  'depdis-M1': depdis.Method(
    lambda_balance=0,
    lambda_balance_target=0,
    align='seg_depth',
    class_weights=(1, 2, 3, 4, 5),
    **COMMON,
    **DISC,
  ),
  'depdis-paper': depdis.Method(
    balance_transfer=True,
    mask_wrong=False,
    balance_classes=False,
    grid='scaled',
    align='density',
    **COMMON,
    **DISC,
    **MIXTURES,
  ),
}
VARIANTS['self_training'] = self_training.Method(
  depth=True, density=True, **COMMON
)
VARIANTS |= {
  'dacs': dacs.Method(**COMMON),
  'corda': corda.Method(
    initial_semantic='backbone',
    initial_fraction=0.5,
    difficulty='paper',
    adversarial='dada',
    width=8,
    **COMMON,
    **DISC,
  ),
}
_TRANSLATION = {'gen_width': 4, 'gen_blocks': 1, 'disc_width': 4}
VARIANTS |= {
  'gio_ada': gio_ada.Method(pool_size=3, **_TRANSLATION, **COMMON),
  'gio_ada-vgg': gio_ada.Method(
    align='separate',
    output_gradient='both',
    **_TRANSLATION,
    **{**COMMON, 'network': VGG},
  ),
  'gio_ada-cg': gio_ada.Method(
    transform='frozen',
    input_label=False,
    input_depth=False,
    align='none',
    **_TRANSLATION,
    **COMMON,
  ),
  'cyclegan': cyclegan.Method(pool_size=3, **_TRANSLATION, **COMMON),
}
# Their passes are random.
DAFORMER = {'backbone': 'mit_tiny', 'decoder': 'daformer', 'decoder_width': 16}
MIT = {**COMMON, 'network': dataclasses.replace(NETWORK, **DAFORMER)}
VARIANTS['dada-mit'] = dada.Method(**MIT, **DISC)
# Each pass draws its own part; a teacher's are in `test_backbones`.
HRDA = {'resolutions': 'hrda', 'detail_crop': (24, 32)}
VARIANTS['source_only-hrda'] = source_only.Method(
  average_all=True,
  **{**MIT, 'network': dataclasses.replace(MIT['network'], **HRDA)},
)
# A new method is found by its file.
for _name in methods.names():
  if _name not in VARIANTS:
    _module = importlib.import_module(f'jaxuda.methods.{_name}')
    VARIANTS[_name] = _module.Method(**COMMON)


def make_batch(method, rows=2, size=(40, 56)):
  generator = np.random.default_rng(0)
  shape = (rows, *size)
  arrays = {
    'image': generator.integers(0, 256, (*shape, 3), np.uint8),
    'label': generator.choice([0, 1, 2, 3, 4, 255], shape).astype(np.int32),
    'depth': generator.uniform(2, 80, shape).astype(np.float32),
    'depth_valid': generator.uniform(size=shape) < 0.9,
  }
  extra = {'depth': ('depth_valid',)}
  return {
    domain: {
      name: arrays[name]
      for field in fields
      for name in (field, *extra.get(field, ()))
    }
    for domain, fields in method.needs.items()
  }


def run(method, batch, steps=2):
  state = parallel.init(method.init, rng.for_init(0), batch)
  step = parallel.pmap_step(method.train_step)
  for _ in range(steps):
    state, metrics = step(state, parallel.shard(batch), rng.root(1))
  return state, metrics


@pytest.mark.parametrize('name', VARIANTS)
def test_replicas_stay_equal(name):
  # out_axes=None would hide a value that was never reduced: check them all.
  method = VARIANTS[name]
  batch = make_batch(method)
  state = filling.fill_state(method, batch)
  step = jax.pmap(
    method.train_step, axis_name=parallel.AXIS, in_axes=(None, 0, None)
  )
  new, metrics = step(state, parallel.shard(batch), rng.root(1))
  for path, leaf in jax.tree_util.tree_leaves_with_path((new, metrics)):
    both = np.asarray(leaf)
    assert np.isfinite(both).all(), path
    np.testing.assert_array_equal(both[0], both[1], err_msg=str(path))
  assert all(k.startswith('loss_') or k == 'quality' for k in metrics)
  assert int(new.step[0]) == 1
  # Every trained network changed.
  for key, net in new.nets.items():
    if net.opt_state == ():
      continue
    moved = jax.tree.map(
      lambda a, b: bool(np.any(np.asarray(a)[0] != np.asarray(b))),
      net.params,
      state.nets[key].params,
    )
    assert any(jax.tree.leaves(moved)), key


def test_training_lowers_the_loss():
  method = VARIANTS['source_only']
  batch = make_batch(method)
  # Something to learn: the label is the brightness.
  bright = batch['source']['image'][..., 0]
  batch['source']['label'] = (bright // 52).astype(np.int32)
  batch['source']['image'] = np.repeat(bright[..., None], 3, -1)
  fast = dataclasses.replace(
    method, optim=dataclasses.replace(method.optim, learning_rate=0.01)
  )
  _, first = run(fast, batch, steps=1)
  _, last = run(fast, batch, steps=8)
  assert float(last['loss_seg']) < float(first['loss_seg'])


def test_self_training_keeps_the_other_branches():
  method = VARIANTS['self_training']
  batch = make_batch(method)
  before = jax.jit(method.init)(rng.for_init(0), batch).nets['task'].params
  after = run(method, batch, steps=1)[0].nets['task'].params
  for name, changes in (('depth', False), ('density', False), ('layer6', True)):
    pairs = zip(
      jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True
    )
    assert any(np.any(a != b) for a, b in pairs) == changes, name


def test_mixtures_are_needed_for_what_uses_them():
  needed = {k: v.needs_mixtures for k, v in VARIANTS.items() if 'depdis' in k}
  assert needed == {'depdis': True, 'depdis-M1': False, 'depdis-paper': True}
  # Without a file there is no error until a step is taken.
  method = dataclasses.replace(VARIANTS['depdis'], mixtures='')
  with pytest.raises(errors.UserError, match="mixtures=''"):
    method.read_mixtures()


@pytest.mark.parametrize('name', VARIANTS)
def test_prediction_shapes_and_tree(name):
  method = VARIANTS[name]
  if method.predict is None:
    pytest.skip('it segments nothing')
  state = jax.eval_shape(method.init, rng.root(0), make_batch(method))
  image = jax.ShapeDtypeStruct((3, 40, 56, 3), jnp.uint8)

  out, grid = (
    jax.eval_shape(functools.partial(method.predict, size=size), state, image)
    for size in ((80, 112), 'grid')
  )
  assert out['logits'].shape == (3, 80, 112, 5)
  assert grid['logits'].shape[1] < 40
  assert grid.keys() == out.keys()
  for name in ('depth', 'depth_source'):
    assert (name in out) == (name in state.nets['task'].params)
  if 'source' in method.needs:
    assert ('depth' in method.needs['source']) == ('depth' in out)


def test_ablations_build_only_what_they_use():
  def nets(name):
    method = VARIANTS[name]
    state = jax.eval_shape(method.init, rng.root(0), make_batch(method))
    return state.nets

  assert set(nets('advent-minent')) == {'task'}
  assert set(nets('advent-output-multi')) == {'task', 'disc', 'disc_aux'}
  assert 'layer5' in nets('advent-output-multi')['task'].params
  assert {'depth', 'density'} <= set(nets('depdis')['task'].params)
  assert 'dec4' not in nets('depdis')['task'].params['depth']
  assert set(nets('depdis-M1')['task'].params) == {
    'backbone',
    'depth',
    'layer6',
  }
  paper = nets('depdis-paper')
  assert paper['disc'].params['conv0']['kernel'].shape == (4, 4, 1, 8)


@pytest.mark.parametrize('name', ['dada', 'advent'])
@pytest.mark.parametrize('domains', [('source', 'target'), ('target',)])
def test_running_statistics_see_the_chosen_domains_in_order(name, domains):
  # The references update the running mean twice per step, source first.
  choice = 'both' if len(domains) == 2 else 'target'
  method = dataclasses.replace(VARIANTS[name], statistics=choice)
  batch = make_batch(method)
  state = filling.fill_state(method, batch)
  task = state.nets['task']
  stats = task.batch_stats
  run = jax.jit(functools.partial(deeplab.run, method.task, train=True))
  for domain in domains:
    _, stats = run(task.params, stats, batch[domain]['image'])
  new, _ = jax.pmap(
    method.train_step,
    axis_name=parallel.AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:1],
  )(state, jax.tree.map(lambda x: x[None], batch), rng.root(1))
  for a, b in zip(
    jax.tree.leaves(new.nets['task'].batch_stats),
    jax.tree.leaves(stats),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


# For every method that can use only the target's statistics: the first variant,
# and the first that aligns nothing.
ADAPTED = {
  (type(method), getattr(method, 'align', '') == 'none'): method
  for method in reversed(VARIANTS.values())
  if 'statistics' in {x.name for x in dataclasses.fields(method)}
}


@pytest.mark.parametrize(
  'method',
  [
    *ADAPTED.values(),
    dataclasses.replace(VARIANTS['depdis-M1'], align='none', lambda_depth=0),
    # Only its balance loss is left.
    dataclasses.replace(VARIANTS['depdis'], align='none'),
  ],
  ids=lambda x: f'{x.__module__.split(".")[-1]}-{getattr(x, "align", "")}',
)
def test_a_method_says_whether_it_trains_on_the_target(method):
  method = dataclasses.replace(method, statistics='target')
  batch = make_batch(method)
  state = jax.eval_shape(method.init, rng.root(0), batch)
  given = state, batch, rng.root(0)
  step = lambda *args: method.train_step(*args)[0].nets['task'].params
  traced = jax.make_jaxpr(step, axis_env=[(parallel.AXIS, 1)])(*given)
  # Which arguments the new parameters depend on.
  wanted = [True] * len(traced.out_avals)
  _, used = partial_eval.dce_jaxpr(traced.jaxpr, wanted)
  _, used, _ = jax.tree.unflatten(jax.tree.structure(given), used)
  assert used['source']['image']
  assert used['target']['image'] == method.trains_on_target
  assert method.sees_target


class Config(dict):
  """The fields of a configuration that `methods.create` reads."""

  __getattr__ = dict.__getitem__


def test_create_names_what_it_does_not_know():
  fields = {'num_classes': 5, 'total_steps': 10}
  assert methods.names() == sorted(methods.names())
  assert {'advent', 'dada', 'source_only'} <= set(methods.names())
  method = methods.create(
    Config(name='dada', method={'lambda_adv': 0.5}, **fields)
  )
  assert method.lambda_adv == 0.5
  for config, message in (
    (Config(name='dadda', **fields), 'expected one of'),
    (
      Config(name='dada', method={'lambda_ad': 1}, **fields),
      'method.lambda_ad',
    ),
    (Config(name='dada', network={'depth': 1}, **fields), 'network.depth'),
    (
      Config(name='dada', network={'dtype': 'float64'}, **fields),
      'network.dtype=float64, .* expected JAX_ENABLE_X64=1',
    ),
    (Config(name='dada', method={'align': 'x'}, **fields), 'method.align'),
    (Config(name='advent', method={'align': 'x'}, **fields), 'method.align'),
    (
      Config(name='source_only', method={'fuse': True}, **fields),
      'depth block',
    ),
    (Config(name='dada', method={'statistics': 'x'}, **fields), 'statistics'),
    (Config(name='advent', method={'statistics': 'x'}, **fields), 'statistics'),
    (Config(name='depdis', method={'align': 'x'}, **fields), 'method.align'),
    (Config(name='depdis', method={'grid': 'x'}, **fields), 'method.grid'),
    (
      Config(name='depdis', method={'lambda_balance': 0}, **fields),
      'lambda_balance=0',
    ),
    (
      Config(name='depdis', method={'class_weights': (1, 2)}, **fields),
      'class_weights has 2',
    ),
  ):
    with pytest.raises(errors.UserError, match=message):
      methods.create(config)
