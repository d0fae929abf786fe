"""Every kind of network can be exported, and gives the same numbers."""

import jax
import jax.export
import numpy as np
import pytest

from jaxuda.export import exporting
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods import depdis
from jaxuda.methods import gio_ada
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from tests import filling
from tests import tiny

_HRDA = {
  'resolutions': 'hrda',
  'decoder_width': 16,
  'detail_crop': (32, 32),
  'window': (64, 64),
}
_CASES = {
  'vit': (dacs, {'backbone': 'dinov2_tiny', 'decoder': 'vfm_uda'}, (33, 49)),
  'registers': (
    dacs,
    {'backbone': 'dinov2_tiny_reg', 'patch_resize': 'round'},
    (30, 42),
  ),
  'mit': (
    dacs,
    {'backbone': 'mit_tiny', 'decoder': 'daformer', 'decoder_width': 16},
    (33, 49),
  ),
  # Larger than its windows.
  'hrda': (
    dacs,
    {'backbone': 'mit_tiny', 'decoder': 'daformer', **_HRDA},
    (64, 96),
  ),
  'efficientnet': (
    dacs,
    {'backbone': 'efficientnet_tiny', 'output_stride': 16, 'norm': 'none'},
    (33, 49),
  ),
  'corda': (corda, {'backbone': 'resnet_tiny', 'active_rates': 2}, (33, 49)),
  'vgg': (
    gio_ada,
    {'backbone': 'vgg_tiny', 'decoder': 'aspp_l', 'decoder_width': 16},
    (33, 49),
  ),
  'bfloat16': (
    depdis,
    {'backbone': 'resnet_tiny', 'dtype': 'bfloat16', 'image_order': 'rgb'},
    (33, 49),
  ),
}


@pytest.mark.parametrize('name', _CASES)
def test_the_same_numbers(name):
  module, network, size = _CASES[name]
  options = deeplab.Options(**{'image_scale': (0.01,) * 3, **network})
  fields = {'evaluate': 'teacher'} if module in (dacs, corda) else {}
  method = module.Method(
    num_classes=3, total_steps=3, network=options, **fields
  )
  example = jax.ShapeDtypeStruct((1, *size, 3), np.uint8)
  shapes = jax.eval_shape(method.task.init, jax.random.key(0), example)
  student, teacher = (
    state_lib.create_net(filling.fill(shapes, seed=i), None) for i in (0, 1)
  )
  state = state_lib.create({'task': student}, teacher=teacher)
  run = workdir_lib.Run(
    config=tiny.make_config(), method=method, state=state, step=0
  )
  serve, weights = exporting._serving_function(run)
  program = exporting._to_stablehlo(serve, weights, size).serialize()
  image = np.random.default_rng(2).integers(0, 256, (2, *size, 3), np.uint8)
  found = jax.jit(jax.export.deserialize(program).call)(
    list(weights.values()), image
  )
  expected = jax.jit(method.predict)(state, image)
  least = 0.03 if options.dtype == 'bfloat16' else 1e-4
  for field in ('logits', 'depth'):
    assert (field in found) == (field in expected)
    if field in found:
      value = np.asarray(expected[field], np.float64)
      error = np.linalg.norm(found[field] - value)
      assert error <= least * np.linalg.norm(value), field
