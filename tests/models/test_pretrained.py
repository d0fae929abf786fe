import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import discriminators
from jaxuda.models import pretrained


@pytest.fixture(scope='module')
def variables():
  module = deeplab.DeepLab(
    classes=5,
    options=deeplab.Options(backbone='resnet_small'),
    multi_level=True,
    depth=True,
    fuse=True,
  )
  image = jnp.zeros((1, 33, 33, 3))
  return jax.device_get(module.init(jax.random.key(0), image))


def test_keys_are_the_published_ones(variables):
  state_dict = pretrained.to_torch(variables)
  for key, shape in {
    'conv1.weight': (32, 3, 7, 7),
    'bn1.running_var': (32,),
    'layer1.0.downsample.0.weight': (64, 32, 1, 1),
    'layer4.1.bn3.bias': (256,),
    'layer4.1.bn3.weight': (256,),
    'layer5.conv2d_list.3.bias': (5,),
    'layer6.conv2d_list.0.weight': (5, 256, 3, 3),
    'enc4_2.weight': (64, 64, 3, 3),
    'dec4.bias': (256,),
  }.items():
    assert state_dict[key].shape == shape
  disc = discriminators.FcDiscriminator(width=4)
  params = disc.init(jax.random.key(0), jnp.zeros((1, 32, 32, 5)))
  keys = set(pretrained.to_torch(params))
  assert keys == {
    f'{i}.{n}' for i in range(0, 10, 2) for n in ('weight', 'bias')
  }


def test_there_and_back(variables):
  state_dict = pretrained.to_torch(variables)
  state_dict['bn1.num_batches_tracked'] = np.array(7)
  back = pretrained.from_torch(state_dict, variables)
  ours, theirs = (
    flax.traverse_util.flatten_dict(tree) for tree in (variables, back)
  )
  assert ours.keys() == theirs.keys()
  for path, value in ours.items():
    np.testing.assert_array_equal(value, theirs[path])


def test_every_key_is_accounted_for(variables):
  state_dict = pretrained.to_torch(variables)
  lacking = {k: v for k, v in state_dict.items() if k != 'enc4_1.bias'}
  with pytest.raises(errors.UserError, match='has no enc4_1'):
    pretrained.from_torch(lacking, variables)
  with pytest.raises(errors.UserError, match='such as fc'):
    pretrained.from_torch(state_dict | {'fc.weight': np.zeros(3)}, variables)
  wrong = state_dict | {'dec4.bias': np.zeros(3)}
  with pytest.raises(errors.UserError, match=r'dec4.bias of shape \(3,\)'):
    pretrained.from_torch(wrong, variables)
