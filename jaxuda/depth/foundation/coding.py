"""Encodes the output of a foundation network in the codes used here.

* metric networks: 'metres', in centimetres (`formats.METRES`);
* relative networks: 'inverse' (`formats.INVERSE`), the code for the disparity
  of all monocular networks here: 65535 is the nearest pixel of each image. It
  has no unit, and equal numbers in two images are not equal depths. Like CorDA,
  readers convert it to "metres", which are not a measurement;
* relative networks, aligned: 'metres' by a guess. The inverse depth of each
  image gets the factor and the shift that fit its distribution to that of a
  dataset with depth, by least squares between their quantiles. The result is
  right only as far as both show scenes of similar depth, and is not a
  measurement either.
"""

from collections.abc import Mapping
import functools
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.depth import formats
from jaxuda.ops import depth as depth_ops

MADE_BY = 'jaxuda.depth.foundation'
_GUESS = (
  'metres by a guess: inverse depth brought to the quantiles of a dataset'
)
_RELATIVE = 'inverse depth without a unit; 65535 is the nearest of each image'
# The quantiles that are compared; beyond them are few pixels, among them
# SYNTHIA's of depth 0.
QUANTILES = tuple(x / 20 for x in range(1, 20))
# Maximum number of images of the dataset that they are taken from.
_SAMPLE = 100


def describe(
  network: Any, *, aligned: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """Returns the contents of depth.json.

  Args:
    network: see `estimation.Network`.
    aligned: 'dataset', 'split' and 'quantiles' of inverse depth, if relative
      depth is converted to metres.
  """
  if network.metric:
    code, meaning = formats.METRES, 'metres, as the network says them'
  elif aligned:
    code, meaning = formats.METRES, _GUESS
  else:
    code, meaning = formats.INVERSE, _RELATIVE
  record = network.record
  # Earlier versions did not record the type; their maps pass for the default's.
  own = {} if network.dtype == 'float32' else {'dtype': network.dtype}
  return {
    **code,
    'made_by': MADE_BY,
    'kind': 'metric' if network.metric else 'relative',
    'meaning': meaning,
    'aligned': aligned,
    'network': record['title'],
    'sha256': record['sha256'],
    'side': network.side,
    **own,
  }


def encode(
  said: np.ndarray, *, metric: bool, quantiles: np.ndarray | None = None
) -> np.ndarray:
  """Encodes the depth of one image, in the code that `describe` names.

  Args:
    said: float [H, W], output of the network.
    metric: whether the output is metres.
    quantiles: quantiles of inverse depth to align relative depth to, or None.

  Returns:
    uint16 [H, W].
  """
  if metric:
    return formats.encode_metres(said)
  if quantiles is not None:
    return formats.encode_metres(align(said, quantiles))
  # An image that is infinitely far everywhere has a maximum of 0.
  return formats.encode_inverse(said, greatest=float(said.max()) or 1.0)


def align(relative: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
  """Aligns relative inverse depth to quantiles and converts it to metres.

  The aligned inverse depth is a d + b, where a and b minimise the squared
  difference of its quantiles from those given.

  Args:
    relative: float [H, W], inverse depth d up to a factor and a shift.
    quantiles: inverse depth at `QUANTILES`, see `ops.depth.invert_depth`.

  Returns:
    [H, W] metres.
  """
  wide = np.asarray(relative, np.float64)
  ours = np.quantile(wide, QUANTILES)
  spread = ours - ours.mean()
  # Both increase, so the factor is not negative; for a flat wall it is 0.
  factor = spread @ quantiles / max(spread @ spread, 1e-12)
  inverse = factor * (wide - ours.mean()) + np.mean(quantiles)
  return np.asarray(depth_ops.restore_depth(inverse))


def measure(
  dataset: str, *, split: str = 'train', **where: Any
) -> dict[str, Any]:
  """Computes the quantiles of a prepared dataset's inverse depth.

  Args:
    dataset: name of a dataset with depth in metres or a stereo camera's
      disparity.
    split: split of the dataset.
    **where: 'data_dir' and 'manual_dir', see `rows.Rows`.

  Returns:
    The mapping `aligned` of `describe`. The quantiles are taken over valid
    pixels of at most a hundred images, spread over the split; the sky counts as
    an inverse depth of 1.

  Raises:
    UserError: the dataset does not exist, or its depth has no unit or no valid
      pixel.
  """
  # Imported here: TensorFlow takes seconds to load, and nothing else needs it.
  from jaxuda.data.pixels import depth_codes
  from jaxuda.data.records import rows

  data = rows.Rows(dataset, split=split, fields=('depth',), **where)
  code = depth_codes.DepthCode.of(data.metadata)
  if code.code == 'inverse':
    raise errors.UserError(
      f'--align={dataset}: its depth has no unit either; expected a dataset'
      ' with metres'
    )
  read = functools.partial(depth_codes.measure, code=code, zero_depth='mask')
  found = []
  for number in range(0, len(data), -(-len(data) // _SAMPLE)):
    row = data.read(number)
    metres, valid = read(row['depth'], factor=row.get('depth_factor'))
    inverse = depth_ops.invert_depth(metres.numpy()[valid.numpy()])
    found.append(np.asarray(inverse)[::7])
  values = np.concatenate(found)
  if not len(values):
    raise errors.UserError(
      f'--align={dataset}: no pixel of its depth is valid; expected some'
    )
  quantiles = np.quantile(values.astype(np.float64), QUANTILES)
  return {'dataset': dataset, 'split': split, 'quantiles': quantiles.tolist()}
