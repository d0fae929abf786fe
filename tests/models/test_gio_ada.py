import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.models import gio_ada
from jaxuda.models import pretrained
from jaxuda.step import state as state_lib


def _shapes(size=(512, 1024), classes=16, **fields):
  names = ('backbone', 'decoder', 'decoder_width')
  network = {'backbone': 'vgg16', 'decoder': 'aspp_l', 'decoder_width': 1024}
  network |= {name: fields.pop(name) for name in names if name in fields}
  module = gio_ada.GioAda(
    classes=classes, options=deeplab.Options(**network), **fields
  )
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
  return jax.eval_shape(module.init_with_output, jax.random.key(0), image)


def _count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def test_network_of_the_paper():
  out, variables = _shapes()
  assert out['logits'].shape == (1, 65, 129, 16)
  assert out['depth'].shape == (1, 65, 129)
  params = variables['params']
  assert set(variables) == {'params'}
  # The convolutions of torchvision's VGG-16 without its classifier.
  assert _count(params['backbone']) == 14714688
  branch = 9 * 512 * 1024 + 1024 + 1024 * 1024 + 1024
  assert _count(params['semantic']) == 4 * (branch + 1025 * 16)
  assert _count(params['depth']) == 4 * (branch + 1025)
  assert _count(params) == 60938116
  assert 'depth' not in _shapes(depth=False)[1]['params']


def test_adaptsegnets_network():
  out, variables = _shapes(backbone='vgg16_adaptsegnet', decoder='aspp')
  assert out['logits'].shape == (1, 64, 128, 16)
  params = variables['params']
  assert params['backbone']['fc7']['kernel'].shape == (3, 3, 1024, 1024)
  assert params['semantic']['conv3_kernel'].shape == (3, 3, 1024, 16)
  place = pretrained.vgg_key(('fc6', 'bias'))
  assert place == 'features.29.bias'
  path = ('stage5', 'conv3', 'kernel')
  assert pretrained.vgg_key(path) == 'features.28.weight'
  assert pretrained.vgg_key(path, adaptsegnet=True) == 'features.27.weight'


def test_resnet_under_the_same_decoders():
  out, variables = _shapes((65, 97), backbone='resnet_tiny', decoder='aspp')
  assert out['depth'].shape == (1, 9, 13)
  assert 'batch_stats' in variables


def test_dropout_in_training_alone():
  options = deeplab.Options(
    backbone='vgg_tiny',
    init='he',
    decoder='aspp_l',
    decoder_width=8,
    dropout=0.5,
  )
  module = gio_ada.GioAda(classes=3, options=options)
  image = jax.random.uniform(jax.random.key(0), (1, 33, 41, 3)) * 255
  params = module.init(jax.random.key(1), image)['params']
  first, second = (
    learner.Learner(module).run(
      params, {}, image, dropout_key=jax.random.key(i)
    )[0]
    for i in (2, 3)
  )
  assert first['logits'].shape == (1, 33, 41, 3)
  assert np.any(first['logits'] != second['logits'])
  # Without dropout a training pass is a test pass, upsampled.
  none = dataclasses.replace(options, dropout=0.0)
  still, _ = learner.Learner(module.clone(options=none)).run(
    params, {}, image, dropout_key=jax.random.key(4)
  )
  net = state_lib.Net(params=params, batch_stats={}, opt_state=())
  tested = deeplab.predict(module, net, image, restore=lambda x: x)
  jax.tree.map(np.testing.assert_array_equal, still, tested)
  # As is one without a key: a teacher's.
  still, _ = learner.Learner(module).run(params, {}, image)
  jax.tree.map(np.testing.assert_array_equal, still, tested)


def test_dadas_network_on_a_vgg():
  options = deeplab.Options(backbone='vgg16')
  module = deeplab.DeepLab(classes=3, options=options, depth=True, fuse=True)
  image = jax.ShapeDtypeStruct((1, 41, 56, 3), jnp.uint8)
  out, variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), image
  )
  assert set(variables) == {'params'}
  assert out['logits'].shape == (1, *options.grid_size((41, 56)), 3)
  assert out['depth'].shape == (1, 6, 8)


def test_maps_of_the_discriminators():
  full = {
    'logits': jnp.array([0.0, 0.0, np.log(2)]).reshape(1, 1, 1, 3),
    'depth': jnp.full((1, 1, 1), 0.7),
  }
  semantic, depth = [0.25, 0.25, 0.5], [0.7]
  for align, expected in {
    'joint': {'disc_output': semantic + depth},
    'separate': {'disc_semantic': semantic, 'disc_depth': depth},
    'semantic': {'disc_output': semantic},
    'depth': {'disc_output': depth},
    'none': {},
  }.items():
    maps = gio_ada.align_maps(full, align=align)
    channels = gio_ada.count_channels(align, 3)
    assert maps.keys() == expected.keys() == channels.keys()
    for name, values in expected.items():
      np.testing.assert_allclose(maps[name].ravel(), values, rtol=1e-6)
      assert channels[name] == len(values)
