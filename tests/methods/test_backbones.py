"""Every method on every kind of backbone; ResNets are in test_all_methods."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.losses import features
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
from jaxuda.step import optim
from jaxuda.step import parallel
from jaxuda.step import rng
from tests import filling
from tests.methods import test_all_methods


def common(output_stride):
  network = deeplab.Options(
    backbone='efficientnet_tiny',
    output_stride=output_stride,
    train_affine=True,
    # The taps take long to compile, and have their own tests.
    shift_depthwise=False,
  )
  return {'num_classes': 5, 'total_steps': 10, 'network': network}


DISC = {'disc_width': 4}
METHODS = {
  'source_only': source_only.Method(**common(32)),
  # Its other head sees an earlier stage of another size.
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
  """Returns the step of a method, and its arguments."""
  method = dataclasses.replace(METHODS[name], **changes)
  batch = test_all_methods.make_batch(method, rows=1, size=(32, 48))
  state = filling.fill_state(method, batch)
  step = jax.vmap(method.train_step, (None, 0, None), axis_name=parallel.AXIS)
  return step, (state, jax.tree.map(lambda x: x[None], batch), rng.root(1))


# Those of DAFormer and VFM-UDA++, and a first step that changes weights.
ADAMW = optim.Options(
  name='adamw',
  learning_rate=1e-3,
  warmup_steps=2,
  warmup_ratio=0.5,
  weight_decay=0.01,
  layer_decay=0.9,
)
DINOV2 = deeplab.Options(
  backbone='dinov2_tiny', decoder='vfm_uda', stochastic_depth=0.1, init='torch'
)
BACKBONES = {
  'efficientnet': {},  # With several strides, see `METHODS`.
  'mit': {'network': MIT, 'optim': ADAMW},
  'dinov2': {'network': DINOV2, 'optim': ADAMW},
}
# All parts of DAFormer's and MIC's recipes at once.
RECIPE = {
  'masking': masking.Options(weight=1.0, block=8),
  'features': features.Options(weight=0.005, share=0.5, classes=(0, 1, 2)),
  'mixing': mixing.Options(
    jitter='none', blur_probability=0.0, margins=(4, 4, 4, 4)
  ),
}
DEPTH = {'lambda_depth': 1e-3, 'fuse': True}
SWITCHES = {
  'source_only': DEPTH,
  'dada': {'align': 'separate'},
  'self_training': {'density': True},
  'dacs': {**RECIPE, **DEPTH, 'adversarial': 'dada', **DISC},
  'corda': RECIPE,
}


def change(name, backbone):
  """Returns the options that turn on all switches of a method."""
  return {**BACKBONES[backbone], **SWITCHES.get(name, {})}


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize(
  'name', [x for x in methods.names() if x != 'cyclegan']
)
def test_a_step_is_built(name, backbone):
  changes = change(name, backbone)
  step, arguments = build(name, **changes)
  state, losses = jax.eval_shape(step, *arguments)
  assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
  assert {x.shape for x in losses.values()} == {(1,)}
  recipe = {'loss_masked', 'loss_features'}
  assert bool(recipe & losses.keys()) == (name in ('dacs', 'corda'))
  method = dataclasses.replace(METHODS[name], **changes)
  out = jax.eval_shape(
    functools.partial(method.predict, size=(64, 96)),
    arguments[0],
    jax.ShapeDtypeStruct((2, 33, 48, 3), np.uint8),
  )
  assert out['logits'].shape == (2, 64, 96, 5)


@pytest.mark.parametrize(
  ('name', 'changes'),
  [
    # CorDA's smallest network: the module's tests have the whole one.
    ('corda', {'structure': 'simple_aux', 'difficulty': 'none'}),
    ('dacs', {**DEPTH, 'adversarial': 'dada', **DISC}),
  ],
)
def test_a_step_is_built_at_two_resolutions(name, changes):
  network = dataclasses.replace(
    MIT, resolutions='hrda', detail_crop=(16, 24), window=(32, 48)
  )
  masked = masking.Options(weight=1.0)
  changes = {'network': network, 'masking': masked, **changes}
  step, arguments = build(name, **changes)
  state, losses = jax.eval_shape(step, *arguments)
  assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
  assert {x.shape for x in losses.values()} == {(1,)}
  assert {'loss_masked', 'loss_depth'} <= losses.keys()
  assert ('loss_adv' in losses) == ('disc' in state.nets) == (name == 'dacs')
  assert 'scale_attention' in state.nets['task'].params
  # Larger than in training: at the size of the image.
  out = jax.eval_shape(
    functools.partial(
      dataclasses.replace(METHODS[name], **changes).predict, size='grid'
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
  # Networks without random parts get no key, and their programs stay the same.
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


# Compiling them all takes minutes. Steps of the others are tested on ResNet in
# test_all_methods, and those of DADA and DACS on MiT.
TAKEN = {
  'source_only': 'dinov2',
  'dada': 'dinov2',
  'dacs': 'dinov2',
  'corda': 'dinov2',
  'gio_ada': 'efficientnet',
}


@pytest.mark.parametrize(('name', 'backbone'), TAKEN.items())
def test_a_step_is_taken_with_all_switches(name, backbone):
  """On two devices: finite, the same on both; every parameter moves."""
  method = dataclasses.replace(METHODS[name], **change(name, backbone))
  batch = test_all_methods.make_batch(method, size=(32, 48))
  if 'label' in batch.get('source', {}):
    # A thing that fills cells of the coarsest maps.
    batch['source']['label'][:, :, 24:] = 1
  state = filling.fill_state(method, batch)
  step = jax.pmap(method.train_step, parallel.AXIS, in_axes=(None, 0, None))
  new, losses = step(state, parallel.shard(batch), rng.root(1))
  for path, leaf in jax.tree_util.tree_leaves_with_path((new, losses)):
    both = np.asarray(leaf)
    assert np.isfinite(both).all(), path
    np.testing.assert_array_equal(both[0], both[1], err_msg=str(path))
  if 'loss_features' in losses:
    assert losses['loss_features'][0] > 0
  assert ('loss_masked' in losses) == (name in ('dacs', 'corda'))
  for net in ('task', 'disc') if name == 'dacs' else ('task',):
    for (path, a), b in zip(
      jax.tree_util.tree_leaves_with_path(state.nets[net].params),
      jax.tree.leaves(new.nets[net].params),
      strict=True,
    ):
      assert np.any(a != b[0]), (net, path)
