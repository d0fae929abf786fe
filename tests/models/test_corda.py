import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import pretrained

SMALL = deeplab.Options(backbone='resnet_tiny', init='he', active_rates=2)
VARIANTS = {
  'synthia': ({}, 46_619_049),
  'gta': ({'initial_semantic': 'backbone'}, 48_015_074),
  'simple_aux': ({'structure': 'simple_aux'}, 43_974_800),
  'no_attention': ({'structure': 'no_attention'}, 44_245_136),
}


def shapes(module, size=(65, 65)):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  return jax.eval_shape(module.init, jax.random.key(0), image)


@pytest.mark.parametrize('name', VARIANTS)
def test_published_number_of_parameters(name):
  fields, count = VARIANTS[name]
  params = shapes(corda.CorDA(classes=19, **fields))['params']
  assert sum(x.size for x in jax.tree.leaves(params)) == count


@pytest.fixture(scope='module')
def gta():
  module = corda.CorDA(
    classes=5, options=SMALL, width=8, initial_semantic='backbone'
  )
  image = jnp.asarray(
    np.random.default_rng(0).integers(0, 256, (2, 33, 41, 3), np.uint8)
  )
  return module, jax.jit(module.init)(jax.random.key(0), image), image


def test_keys_are_the_published_ones(gta):
  keys = pretrained.to_torch(gta[1])
  initial = 'initial_task_prediction_heads'
  attention = 'multi_modal_distillation.self_attention'
  for key, shape in {
    'layer4.0.downsample.1.running_mean': (16,),
    f'{initial}.layers.S.0.conv1.weight': (2, 16, 1, 1),
    f'{initial}.layers.D.0.downsample.1.running_var': (8,),
    f'{initial}.layers.D.1.bn3.bias': (8,),
    f'{initial}.conv_out.S.conv2d_list.3.weight': (5, 16, 3, 3),
    f'{initial}.conv_out.D_src.bias': (1,),
    f'{attention}.S.D.attention.0.weight': (8, 8, 3, 3),
    f'{attention}.D.S.conv.weight': (8, 8, 3, 3),
    'heads.S.conv2d_list.1.bias': (5,),
    'heads.D_src.conv2d_list.2.weight': (1, 8, 3, 3),
  }.items():
    assert keys[key].shape == shape
  back = pretrained.from_torch(keys, gta[1])
  assert jax.tree.all(jax.tree.map(np.array_equal, back, dict(gta[1])))


def test_features_pass_between_the_tasks(gta):
  # Without the depth branch's output, the semantic head sees its own features;
  # with it, others; and vice versa.
  module, variables, image = gta
  apply = jax.jit(module.apply)
  before = apply(variables, image)
  for task, name in (('semantic', 'logits'), ('depth', 'depth_source')):
    distill = variables['params'][f'distill_{task}']
    off = jax.tree.map(jnp.zeros_like, distill['conv'])
    params = variables['params'] | {f'distill_{task}': {**distill, 'conv': off}}
    after = apply({**variables, 'params': params}, image)
    changed = {
      k for k in before if not np.allclose(before[k], after[k], rtol=1e-4)
    }
    assert name in changed
    assert (
      changed
      <= {
        'semantic': {'logits'},
        'depth': {'depth', 'depth_source'},
      }[task]
    )


def test_attention_is_a_share_and_outputs_have_shapes(gta):
  module, variables, image = gta
  out = jax.jit(module.apply)(variables, image)
  assert out['logits'].shape == out['initial_logits'].shape == (2, 5, 6, 5)
  depths = [k for k in out if 'depth' in k]
  assert len(depths) == 4
  assert {out[k].shape for k in depths} == {(2, 5, 6)}
  assert 0 < out['attention'].min() < out['attention'].max() < 1


def test_only_two_rates_and_the_paste_decoder_get_gradients(gta):
  module, variables, image = gta

  def loss(params):
    out = module.apply({**variables, 'params': params}, image)
    return jnp.sum(out['logits']) + jnp.sum(out['depth_source'])

  grads = jax.jit(jax.grad(loss))(variables['params'])
  assert jnp.any(grads['semantic']['conv1_kernel'])
  assert not jnp.any(grads['semantic']['conv2_kernel'])
  assert jnp.any(grads['depth_source']['conv0_kernel'])
  # The other domain's decoder and the initial heads are off the path.
  for name in ('depth', 'initial_semantic', 'initial_depth_source'):
    assert not any(jnp.any(g) for g in jax.tree.leaves(grads[name]))
