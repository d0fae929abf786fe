"""Every method on EfficientNet, on each of its strides, and on MiT."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.methods import advent
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods import dada
from jaxuda.methods import depdis
from jaxuda.methods import gio_ada
from jaxuda.methods import self_training
from jaxuda.methods import source_only
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.ops import masking
from jaxuda.ops import mixing
from jaxuda.step import parallel
from jaxuda.step import rng
from tests import filling
from tests.methods import test_all_methods


def common(output_stride):
  network = deeplab.Options(
    backbone='efficientnet_tiny',
    output_stride=output_stride,
    train_affine=True,
    # The taps take long to compile, and have tests of their own.
    shift_depthwise=False,
  )
  return {'num_classes': 5, 'total_steps': 10, 'network': network}


DISC = {'disc_width': 4}
METHODS = {
  'source_only': source_only.Method(**common(32)),
  # Its other head sees an earlier stage, of another size.
  'advent': advent.Method(multi_level=True, **DISC, **common(32)),
  'dada': dada.Method(**DISC, **common(16)),
  'depdis': depdis.Method(**DISC, **test_all_methods.MIXTURES, **common(8)),
  'self_training': self_training.Method(depth=True, **common(8)),
  'dacs': dacs.Method(**common(16)),
  'corda': corda.Method(
    width=8,
    mixing=mixing.Options(jitter='none', blur_probability=0.0),
    **common(8),
  ),
  # The other networks see images, not the backbone.
  'gio_ada': gio_ada.Method(
    transform='none',
    input_label=False,
    input_depth=False,
    **DISC,
    **common(16),
  ),
}


MIT = deeplab.Options(
  backbone='mit_tiny', decoder='daformer', decoder_width=16, init='torch'
)


def build(name, **changes):
  """The step of a method, and its arguments."""
  method = dataclasses.replace(METHODS[name], **changes)
  batch = test_all_methods.make_batch(method, rows=1, size=(32, 48))
  state = filling.fill_state(method, batch)
  step = jax.vmap(method.train_step, (None, 0, None), axis_name=parallel.AXIS)
  return step, (state, jax.tree.map(lambda x: x[None], batch), rng.root(1))


@pytest.mark.parametrize(
  'name', [x for x in methods.names() if x != 'cyclegan']
)
def test_a_step_is_built(name):
  step, arguments = build(name)
  state, losses = jax.eval_shape(step, *arguments)
  assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
  assert {x.shape for x in losses.values()} == {(1,)}
  out = jax.eval_shape(
    functools.partial(METHODS[name].predict, size=(64, 96)),
    arguments[0],
    jax.ShapeDtypeStruct((2, 33, 48, 3), np.uint8),
  )
  assert out['logits'].shape == (2, 64, 96, 5)


@pytest.mark.parametrize(
  'name', [x for x in methods.names() if x != 'cyclegan']
)
def test_a_step_is_built_on_mit(name):
  step, arguments = build(name, network=MIT)
  state, losses = jax.eval_shape(step, *arguments)
  assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
  assert {x.shape for x in losses.values()} == {(1,)}
  out = jax.eval_shape(
    dataclasses.replace(METHODS[name], network=MIT).predict,
    arguments[0],
    jax.ShapeDtypeStruct((2, 33, 48, 3), np.uint8),
  )
  assert out['logits'].shape == (2, 33, 48, 5)


def test_a_step_is_built_at_two_resolutions():
  network = dataclasses.replace(
    MIT, resolutions='hrda', detail_crop=(16, 24), window=(32, 48)
  )
  # CorDA's least network: tests of the module have the whole.
  changes = {
    'network': network,
    'structure': 'simple_aux',
    'difficulty': 'none',
    'masking': masking.Options(weight=1.0),
  }
  step, arguments = build('corda', **changes)
  state, losses = jax.eval_shape(step, *arguments)
  assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
  assert {x.shape for x in losses.values()} == {(1,)}
  assert 'loss_masked' in losses
  assert 'scale_attention' in state.nets['task'].params
  # Larger than what it was trained on: at the image's size.
  out = jax.eval_shape(
    functools.partial(
      dataclasses.replace(METHODS['corda'], **changes).predict, size='grid'
    ),
    arguments[0],
    jax.ShapeDtypeStruct((2, 32, 64, 3), np.uint8),
  )
  assert out['logits'].shape == (2, 32, 64, 5)


def test_other_methods_have_one_resolution():
  network = dataclasses.replace(MIT, resolutions='hrda')
  with pytest.raises(errors.UserError, match='resolutions=hrda; expected one'):
    dataclasses.replace(METHODS['dada'], network=network)


def test_passes_draw_numbers_of_their_own():
  method = dataclasses.replace(METHODS['dada'], network=MIT)
  first, second = (types.SimpleNamespace(step=step) for step in (3, 4))

  def noise(state, device=0):
    run = jax.vmap(
      lambda _: jax.random.key_data(method.noise(state, rng.root(0))),
      axis_name=parallel.AXIS,
    )
    return np.asarray(run(np.arange(2))[device])

  found = [noise(first), noise(second), noise(first, 1)]
  assert len({x.tobytes() for x in found}) == 3
  np.testing.assert_array_equal(noise(first), found[0])
  # Networks without draws are handed none, and their programs stay as they are.
  assert METHODS['dada'].noise(first, rng.root(0)) is None
  seen = []

  def loss(params, batch_stats, batch):
    seen.append(batch.get('noise'))
    return {'loss': (1.0, params)}, batch_stats, None

  key, passes = rng.root(1), [(loss, {'image': 0})] * 2
  learner.run_passes(1.0, {}, passes, noise=key)
  learner.run_passes(1.0, {}, passes)
  assert seen[0] != seen[1]
  assert seen[2:] == [None, None]


@pytest.mark.parametrize('name', ['dada', 'corda', 'gio_ada'])
def test_a_step_is_taken(name):
  step, arguments = build(name)
  state, losses = jax.jit(step)(*arguments)
  assert all(np.isfinite(x) for x in losses.values())
  before = arguments[0].nets['task'].params
  after = state.nets['task'].params
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(before),
    jax.tree.leaves(after),
    strict=True,
  ):
    assert np.isfinite(b).all(), path
    assert np.any(a != b[0]), path
