import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import advent
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods import dada
from jaxuda.methods import gio_ada
from jaxuda.methods import self_training
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.train import warm_start


def make_state(value, width=3):
  net = state_lib.Net(
    params={'kernel': jnp.full(width, value)},
    batch_stats={'mean': jnp.full(2, value)},
    opt_state=(jnp.full(width, value),),
  )
  return state_lib.TrainState(
    step=jnp.asarray(int(value)), nets={'task': net, 'disc': net}
  )


@pytest.fixture
def other(monkeypatch):
  """Another run, and how it was asked for."""
  asked = []

  def load(workdir, *, which):
    asked.append((workdir, which))
    return workdir_lib.Run(
      config=None, method=None, state=make_state(5.0), step=5
    )

  monkeypatch.setattr(workdir_lib, 'load', load)
  return asked


def test_only_the_task_network_is_taken(other):
  state = warm_start.load_network(make_state(0.0), 'there', which='best')
  assert other == [('there', 'best')]
  task, disc = state.nets['task'], state.nets['disc']
  np.testing.assert_array_equal(task.params['kernel'], 5)
  np.testing.assert_array_equal(task.batch_stats['mean'], 5)
  np.testing.assert_array_equal(task.opt_state[0], 0)
  assert not any(np.any(x) for x in jax.tree.leaves((state.step, disc)))


def test_a_run_without_a_task_network_is_named(monkeypatch):
  nets = {'gen': make_state(5.0).nets['task']}
  run = workdir_lib.Run(
    config=ml_collections.ConfigDict({'name': 'cyclegan'}),
    method=None,
    state=make_state(5.0).replace(nets=nets),
    step=5,
  )
  monkeypatch.setattr(workdir_lib, 'load', lambda *_, **__: run)
  message = (
    r'^config\.initial=there is a run of cyclegan, which has no task net'
  )
  with pytest.raises(errors.UserError, match=message):
    warm_start.load_network(make_state(0.0), 'there')


def test_a_teacher_begins_as_its_copy(other):
  fresh = make_state(0.0)
  fresh = fresh.replace(teacher=fresh.nets['task'].replace(opt_state=()))
  state = warm_start.load_network(fresh, 'there')
  task, teacher = state.nets['task'], state.teacher
  np.testing.assert_array_equal(teacher.params['kernel'], 5)
  np.testing.assert_array_equal(teacher.batch_stats['mean'], 5)
  assert teacher.params['kernel'] is not task.params['kernel']
  assert teacher.opt_state == ()


def test_another_network_is_named(other):
  with pytest.raises(
    errors.UserError, match=r'there has float32\[3\] for kernel; expected'
  ):
    warm_start.load_network(make_state(0.0, width=4), 'there')
  state = make_state(0.0)
  params = {'bias': jnp.zeros(1), **state.nets['task'].params}
  task = state.nets['task'].replace(params=params)
  with pytest.raises(errors.UserError, match='has nothing for bias'):
    warm_start.load_network(state.replace(nets={'task': task}), 'there')


NETWORK = deeplab.Options(backbone='resnet_tiny', init='torch')
COMMON = {'num_classes': 3, 'total_steps': 10, 'network': NETWORK}
SMALL = {'gen_width': 4, 'gen_blocks': 1, 'disc_width': 4}


def zeros(method):
  """Returns an `init` that draws nothing, for which nothing is compiled."""

  def init(key, batch):
    shapes = jax.eval_shape(method.init, key, batch)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

  return init


def begin(
  method, monkeypatch, other, tmp_path, *, create=lambda x: jax.jit(x.init)
):
  """Returns what GIO-Ada begins with, the other run's state, what is said."""
  image = np.zeros((1, 33, 49, 3), np.uint8)
  image[:, ::2], image[:, :, ::3] = 90, 200
  batch = {
    'image': image,
    'label': np.zeros((1, 33, 49), np.int32),
    'depth': np.ones((1, 33, 49), np.float32),
    'depth_valid': np.ones((1, 33, 49), bool),
  }
  batch = {'source': batch, 'target': batch}
  there = create(other)(jax.random.key(1), batch)
  run = workdir_lib.Run(
    config=ml_collections.ConfigDict({'name': 'source_only'}),
    method=other,
    state=there,
    step=7,
  )
  monkeypatch.setattr(workdir_lib, 'load', lambda workdir, which: run)
  (tmp_path / 'so').mkdir(exist_ok=True)
  said = []
  fresh = create(method)(jax.random.key(2), batch)
  state = warm_start.load(
    *(fresh, str(tmp_path / 'so')),
    options=method.network,
    heads=method.heads,
    report=said.append,
  )
  return fresh, state, there, said, image


def test_gio_ada_begins_with_a_source_only_run(monkeypatch, tmp_path):
  method = gio_ada.Method(**COMMON, **SMALL)
  other = source_only.Method(**COMMON, lambda_depth=0.1)
  fresh, state, there, said, image = begin(method, monkeypatch, other, tmp_path)
  mine, theirs = state.nets['task'], there.nets['task']
  jax.tree.map(
    np.testing.assert_array_equal,
    *((x.params['backbone'], x.batch_stats) for x in (mine, theirs)),
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    *(mine.params['semantic'], theirs.params['layer6']),
  )
  # So it segments like the run before it has learned anything.
  np.testing.assert_allclose(
    method.predict(state, image)['logits'],
    other.predict(there, image)['logits'],
    rtol=1e-5,
  )
  # Every array of either is accounted for; one of the depths is another thing.
  jax.tree.map(
    np.testing.assert_array_equal,
    *(x.nets['task'].params['depth'] for x in (fresh, state)),
  )
  for name in ('gen', 'disc_input', 'disc_output'):
    assert state.nets[name] is fresh.nets[name]
  backbone = (mine.params['backbone'], mine.batch_stats)
  taken = len(jax.tree.leaves(backbone)) + 8
  assert said == [
    f'initial weights: {taken} arrays of so, step 7 (source_only, student;'
    ' layer6 as semantic); random: depth; not used: depth'
  ]


def test_a_run_with_another_backbone_is_refused(monkeypatch, tmp_path):
  method = gio_ada.Method(**COMMON, **SMALL)
  wide = dataclasses.replace(NETWORK, norm='none')
  other = source_only.Method(**{**COMMON, 'network': wide})
  with pytest.raises(
    errors.UserError, match='has nothing for batch_stats/back'
  ):
    begin(method, monkeypatch, other, tmp_path)
  # From another method, only the same network will do.
  other = advent.Method(**COMMON, disc_width=4)
  with pytest.raises(errors.UserError, match='the network must be the same'):
    begin(dada.Method(**COMMON, disc_width=4), monkeypatch, other, tmp_path)


def test_a_run_with_another_input_is_refused(monkeypatch, tmp_path):
  method = source_only.Method(**COMMON)
  bright = dataclasses.replace(NETWORK, image_order='rgb', stride_at='conv2')
  other = source_only.Method(**{**COMMON, 'network': bright})
  with pytest.raises(
    errors.UserError,
    match=r'different input or stride; expected --config\.network\.image_order='
    r"'rgb' --config\.network\.stride_at='conv2'$",
  ):
    begin(method, monkeypatch, other, tmp_path)


ALL, TWO = {'active_rates': 0}, {'active_rates': 2}


@pytest.mark.parametrize(
  ('method', 'here', 'other', 'there', 'asked'),
  [
    (dacs, TWO, source_only, ALL, "different choice of dilations; .*rates='0'"),
    (self_training, ALL, dacs, TWO, "choice of dilations; .*active_rates='2'"),
    (
      dacs,
      {**TWO, 'rates': (1, 3, 6, 9)},
      dacs,
      TWO,
      r"rates='\(6, 12, 18, 24",
    ),
    (dada, TWO, source_only, ALL, "different choice of dilations; .*rates='0'"),
    (gio_ada, TWO, source_only, ALL, "choice of dilations; .*active_rates='0'"),
    (dada, {'depth_scale': 9.0}, dada, {}, "scale of the depth.*scale='1.0'"),
    # Nothing is taken over, or nothing that depends on it.
    (dacs, ALL, source_only, ALL, ''),
    (corda, TWO, source_only, ALL, ''),
    (dacs, {'depth_scale': 9.0}, source_only, {}, ''),
    (dada, {'depth_scale': 9.0}, source_only, {}, ''),
    (gio_ada, {'depth_scale': 9.0}, gio_ada, {}, ''),
  ],
)
def test_a_head_that_would_compute_something_else_is_refused(
  monkeypatch, tmp_path, method, here, other, there, asked
):
  def create(module, options):
    own = {dada: {'disc_width': 4}, gio_ada: SMALL, corda: {'width': 8}}
    network = dataclasses.replace(NETWORK, **options)
    common = {**COMMON, 'network': network}
    return module.Method(**common, **own.get(module, {}))

  method, other = create(method, here), create(other, there)
  if not asked:
    begin(method, monkeypatch, other, tmp_path, create=zeros)
    return
  with pytest.raises(
    errors.UserError, match=f'so.* was trained with .*{asked}'
  ):
    begin(method, monkeypatch, other, tmp_path, create=zeros)


@pytest.mark.parametrize('method', [dada.Method, corda.Method])
def test_a_method_adds_to_a_source_only_run(monkeypatch, tmp_path, method):
  own = {'disc_width': 4} if method is dada.Method else {'width': 8}
  method, other = method(**COMMON, **own), source_only.Method(**COMMON)
  fresh, state, there, said, _ = begin(method, monkeypatch, other, tmp_path)
  mine, theirs = state.nets['task'], there.nets['task']
  begun = [k for k in theirs.params if k in mine.params]
  for module in mine.params:
    kept = theirs if module in begun else fresh.nets['task']
    jax.tree.map(
      np.testing.assert_array_equal, mine.params[module], kept.params[module]
    )
  if isinstance(method, corda.Method):
    assert begun == ['backbone']
    assert said[0].endswith('; not used: layer6')
    return
  assert sorted(begun) == ['backbone', 'layer6']
  assert said[0].endswith('(source_only, student); random: depth')


def test_other_classes_of_as_many_are_noted(monkeypatch, tmp_path):
  for name in ('wall, door', 'door, wall'):
    (tmp_path / f'{name[0]}.yaml').write_text(f'classes: [{name}]')
  run = workdir_lib.Run(
    config=ml_collections.ConfigDict({'classes': str(tmp_path / 'd.yaml')}),
    method=None,
    state=make_state(5.0),
    step=5,
  )
  monkeypatch.setattr(workdir_lib, 'load', lambda *_, which: run)
  said = []
  for name in 'dw':
    warm_start.load_network(
      make_state(0.0),
      'there',
      classes=str(tmp_path / f'{name}.yaml'),
      report=said.append,
    )
  assert said == [
    'note: config.initial=there was trained with the classes door, wall, and'
    ' its outputs start as those of wall, door'
  ]
