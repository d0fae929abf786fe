"""Where a residual block has its stride: 1x1 (Caffe) or 3x3 (torchvision)."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.models.backbones import resnet


def _conv(x, kernel, stride):
  side = kernel.shape[0] // 2
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(side, side)] * 2,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


@pytest.mark.parametrize(
  ('place', 'strides'), [('conv1', (2, 1)), ('conv2', (1, 2))]
)
def test_against_plain_convolutions(place, strides):
  block = resnet.Bottleneck(
    planes=4,
    expansion=2,
    stride=2,
    dilation=1,
    project=True,
    conv=layers.Conv,
    norm=functools.partial(layers.BatchNorm, epsilon=0.0),
    barriers=False,
    stride_at=place,
  )
  x = jax.random.normal(jax.random.key(0), (2, 9, 7, 6))
  variables = block.init(jax.random.key(1), x, False)
  kernels = {
    k: v['kernel'] for k, v in variables['params'].items() if 'conv' in k
  }
  # Newly initialised norms change nothing.
  y = jax.nn.relu(_conv(x, kernels['conv1'], strides[0]))
  y = jax.nn.relu(_conv(y, kernels['conv2'], strides[1]))
  y = _conv(y, kernels['conv3'], 1)
  expected = jax.nn.relu(y + _conv(x, kernels['downsample_conv'], 2))
  out = block.apply(variables, x, False)
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_the_option():
  image = jnp.ones((1, 33, 33, 3))
  trees = [
    jax.eval_shape(
      deeplab.DeepLab(
        classes=2,
        options=deeplab.Options(backbone='resnet_tiny', stride_at=place),
      ).init,
      jax.random.key(0),
      image,
    )
    for place in ('conv1', 'conv2')
  ]
  assert jax.tree.map(jnp.shape, trees[0]) == jax.tree.map(jnp.shape, trees[1])
  with pytest.raises(errors.UserError, match='expected one of conv1, conv2'):
    deeplab.Options(stride_at='conv3')
