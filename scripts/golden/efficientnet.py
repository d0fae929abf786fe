"""EfficientNet-Lite0's features with the published weights."""

from collections.abc import Mapping
import re
from typing import Any

from flax import traverse_util
import jax
import numpy as np

from jaxuda.models import deeplab
from jaxuda.models.backbones import efficientnet
from jaxuda.weights import conversion
from jaxuda.weights import packaged
from jaxuda.weights import reading

_NAME = 'efficientnet_lite0'


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are EfficientNet-Lite0's."""
  return 'os8/block15' in golden


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file except the image.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  weights = conversion.convert(reading.read(packaged.find(_NAME)))
  variables = traverse_util.unflatten_dict(
    {
      (kind, *modules): array.astype(dtype)
      for path, array in weights.arrays.items()
      for kind, _, *modules in [path.split('/')]
    }
  )
  options = deeplab.Options(**weights.record['network'], dtype=dtype)
  image = deeplab.normalize(options, golden['image'][None])
  ours = {}
  strides = {k.split('/')[0] for k in golden if '/' in k}
  for stride in sorted(int(x.removeprefix('os')) for x in strides):
    module = efficientnet.EfficientNet(
      size=_NAME, output_stride=stride, style=options.style
    )
    for name, value in _features(module, variables, image).items():
      key = f'os{stride}/{name}'
      ours[key] = value[::4, ::4] if name == 'stem' else value
      ours[f'{key}_shape'] = np.array(value.shape)
      ours[f'{key}_abs_mean'] = np.abs(value).mean()
  return ours


def _features(module, variables, image):
  """Returns the outputs of the stem and of every block, HWC."""

  def run(variables):
    _, more = module.apply(
      variables,
      image,
      train=False,
      capture_intermediates=lambda module, _: bool(
        re.fullmatch(r'block\d+|bn0', module.name or '')
      ),
    )
    return more['intermediates']

  found = jax.device_get(jax.jit(run)(variables))
  features = {k: v['__call__'][0][0] for k, v in found.items()}
  features['stem'] = np.clip(features.pop('bn0'), 0, 6)
  return features
