import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuda import errors
from jaxuda.run import checkpoint
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

CONFIG = {'name': 'dada', 'size': [1, 2]}


def _init(width=4):
  tx = optax.chain(optax.trace(0.9), optax.scale_by_adam())
  params = {'conv': {'kernel': jnp.ones((3, width)), 'bias.x': jnp.zeros(())}}
  net = state_lib.create_net({'params': params}, tx)
  return state_lib.TrainState(step=jnp.int32(0), nets={'task': net})


def _step(state, batch, key):
  del batch, key
  return jax.tree.map(lambda x: x + 1, state), {}


def _like(width=4):
  return jax.eval_shape(lambda: _init(width))


@pytest.fixture(name='run')
def _run(tmp_path):
  """Saves checkpoints 1..5, each of a state that the next step donated."""
  step, batch = parallel.pmap_step(_step), np.zeros((2, 1))
  state = parallel.init(_init)
  with checkpoint.Checkpoints(tmp_path, keep_last=2) as checkpoints:
    for i in range(1, 6):
      state, _ = step(state, batch, jax.random.key(0))
      checkpoints.save(i, state, config=CONFIG)
      if i == 2:
        checkpoints.best = 2
  return tmp_path


def test_flatten_names_every_leaf():
  names = checkpoint.flatten(_init())
  assert 'nets/task/params/conv/bias.x' in names
  assert 'nets/task/opt_state/0/trace/conv/kernel' in names
  assert len(names) == len(jax.tree.leaves(_init()))


def test_leaves_that_differ_are_shown():
  here = {'a': jnp.zeros(3), 'b': {'c': jnp.zeros((2, 1))}, 'd': jnp.int32(0)}
  there = {'a': jnp.ones(3), 'b': {'c': jnp.zeros(2)}, 'e': jnp.int8(0)}
  assert list(checkpoint.differing(here, there)) == [
    ('b/c', 'float32[2, 1]', 'float32[2]'),
    ('d', 'int32[]', ''),
    ('e', '', 'int8[]'),
  ]


def test_keeps_the_last_and_the_best(run):
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.latest() == 5


def test_prune_removes_what_is_no_longer_the_best(run):
  with checkpoint.Checkpoints(run) as checkpoints:
    checkpoints.best = 2
    checkpoints.prune()
    assert checkpoints.steps() == [2, 4, 5]
    checkpoints.best = 5
    checkpoints.prune()
    assert checkpoints.steps() == [4, 5]
  assert not (run / 'checkpoints' / '2').exists()


def test_restores_exactly_what_was_saved_before_the_donation(run):
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    for step in checkpoints.steps():
      state = checkpoints.restore(step, _like(), name='dada')
      assert isinstance(state, state_lib.TrainState)
      expected = jax.tree.map(lambda x, n=step: x + n, _init())
      jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_restored_state_is_replicated_and_takes_a_step(run):
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    state = checkpoints.restore(5, _like(), name='dada')
  for leaf in jax.tree.leaves(state):
    assert leaf.sharding.is_equivalent_to(parallel.replicated(), leaf.ndim)
  step = parallel.pmap_step(_step)
  state, _ = step(state, np.zeros((2, 1)), jax.random.key(0))
  assert int(state.step) == 6


def test_config_is_inside(run):
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    assert checkpoints.config(4) == CONFIG


def test_saving_a_step_again_changes_nothing(run):
  with checkpoint.Checkpoints(run) as checkpoints:
    checkpoints.save(5, parallel.init(_init), config={})
    checkpoints.wait()
    assert checkpoints.config(5) == CONFIG


def test_unfinished_checkpoint_is_swept_away_and_never_read(run):
  folder = run / 'checkpoints'
  part = folder / '6.orbax-checkpoint-tmp'
  shutil.copytree(folder / '5', part)
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    assert checkpoints.latest() == 5
  assert part.exists()  # It may belong to a process that is still writing.
  with checkpoint.Checkpoints(run) as checkpoints:
    assert checkpoints.latest() == 5
    # It is removed in the background, before the next save at the latest.
    checkpoints.save(6, parallel.init(_init), config=CONFIG)
    checkpoints.wait()
  assert not part.exists()


def test_half_removed_checkpoint_does_no_harm(run):
  shutil.rmtree(run / 'checkpoints' / '2' / 'state')
  (run / 'checkpoints' / '2' / '_CHECKPOINT_METADATA').unlink()
  with checkpoint.Checkpoints(run) as checkpoints:
    assert checkpoints.latest() == 5
    checkpoints.restore(5, _like(), name='dada')
    checkpoints.save(6, parallel.init(_init), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.latest() == 6


def test_relative_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with checkpoint.Checkpoints('run') as checkpoints:
    checkpoints.save(1, parallel.init(_init), config=CONFIG)
  assert (tmp_path / 'run' / 'checkpoints' / '1').is_dir()


def test_nothing_there_and_nothing_made(tmp_path):
  with checkpoint.Checkpoints(tmp_path, write=False) as checkpoints:
    assert checkpoints.steps() == []
    assert checkpoints.latest() is None
  assert not list(tmp_path.iterdir())


def test_missing_step_names_those_there_are(run):
  with (
    checkpoint.Checkpoints(run, write=False) as checkpoints,
    pytest.raises(errors.UserError, match=r'step 3 in .* one of 2, 4, 5'),
  ):
    checkpoints.restore(3, _like(), name='dada')


# Orbax's other reads may outlast the failed one, and find its loop closed.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('victim', ['largest', 'manifest', 'all', 'config'])
def test_a_damaged_checkpoint_is_named(run, victim):
  folder = run / 'checkpoints' / '5'
  every = [x for x in folder.rglob('*') if x.is_file()]
  chosen = {
    'largest': [max(every, key=lambda x: x.stat().st_size)],
    'manifest': [x for x in every if 'manifest' in x.name],
    'all': every,
    'config': [x for x in every if 'config' in x.parts],
  }[victim]
  assert chosen
  for path in chosen:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    read = lambda: checkpoints.restore(5, _like(), name='dada')
    if victim == 'config':
      read = lambda: checkpoints.config(5)
    with pytest.raises(errors.UserError, match=r'checkpoints/5 cannot be read'):
      read()
    checkpoints.restore(4, _like(), name='dada')


def test_a_value_that_is_not_the_saved_one_is_named(tmp_path):
  """A flipped bit changes a number, which orbax does not notice."""
  state = {'kernel': jax.random.normal(jax.random.key(0), (1000,))}
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, state, config=CONFIG)
    checkpoints.wait()
    every = (tmp_path / 'checkpoints/1/state').rglob('d/*')
    path = max(every, key=lambda x: x.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    for only in (None, lambda path: path == 'kernel'):
      with pytest.raises(errors.UserError, match='the checksum of kernel is w'):
        checkpoints.restore(1, state, name='dada', only=only)


def test_a_checkpoint_of_before_has_no_checksums(run):
  shutil.rmtree(run / 'checkpoints' / '5' / 'sums')
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    checkpoints.restore(5, _like(), name='dada')


def test_other_shape_is_named_with_both_methods(run):
  message = (
    r'another model \(method dada there, advent here\): .*kernel is'
    r' float32\[3, 4\], expected float32\[3, 5\]'
  )
  with (
    checkpoint.Checkpoints(run, write=False) as checkpoints,
    pytest.raises(errors.UserError, match=message),
  ):
    checkpoints.restore(5, _like(5), name='advent')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: {'task': s, 'disc': s}, r'nets/disc/.* is missing, expected'),
    (lambda s: {}, r'it has nets/task/.*, which this model lacks'),
  ],
)
def test_other_networks_are_named(run, change, message):
  like = _like()
  like = like.replace(nets=change(like.nets['task']))
  with (
    checkpoint.Checkpoints(run, write=False) as checkpoints,
    pytest.raises(errors.UserError, match=message),
  ):
    checkpoints.restore(5, like, name='dada')


def test_keeping_none_is_a_mistake(tmp_path):
  with pytest.raises(errors.UserError, match='keep_last=0'):
    checkpoint.Checkpoints(tmp_path, keep_last=0)


def test_a_checkpoint_that_cannot_be_written_is_named(run, capfd):
  """As on a full disk: one line, and the others are kept."""
  state = {'kernel': jax.random.normal(jax.random.key(0), (4000,))}
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

  def save(limit):
    with checkpoint.Checkpoints(run) as checkpoints:
      resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
      try:
        checkpoints.save(6, state, config=CONFIG)
        checkpoints.wait()
      finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

  message = r'checkpoints: a checkpoint cannot be written \(File too large\)'
  with pytest.raises(errors.UserError, match=message):
    save(4096)
  assert 'Traceback' not in capfd.readouterr().err
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    assert checkpoints.steps() == [2, 4, 5]
  save(soft)
  with checkpoint.Checkpoints(run, write=False) as checkpoints:
    assert checkpoints.latest() == 6
