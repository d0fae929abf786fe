"""What a foundation network says, as numbers that readers here take.

* metric networks: 'metres', centimetres (`formats.METRES`);
* relative networks: 'inverse' (`formats.INVERSE`), the code of all disparity of
  monocular networks here: 65535 is the nearest pixel of each image. It has no
  unit, and the same number in two images is not the same depth. Readers make
  "metres" of it as CorDA does, which are no measurement;
* relative networks, aligned: 'metres' by a guess. Inverse depth of each image
  gets the factor and the shift that bring its distribution next to that of a
  dataset with depth: least squares between their quantiles. It is right as far
  as both show scenes of like depth, and no measurement either.
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
# The parts of a distribution that are compared; what is beyond are few pixels,
# and SYNTHIA's of depth 0.
QUANTILES = tuple(x / 20 for x in range(1, 20))
# Images of the dataset that they are taken from, at most.
_SAMPLE = 100


def describe(
  network: Any, *, aligned: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """Returns what depth.json is to say.

  Args:
    network: see `estimation.Network`.
    aligned: 'dataset', 'split' and 'quantiles' of inverse depth, if metres are
      made of relative depth.
  """
  if network.metric:
    code, meaning = formats.METRES, 'metres, as the network says them'
  elif aligned:
    code, meaning = formats.METRES, _GUESS
  else:
    code, meaning = formats.INVERSE, _RELATIVE
  record = network.record
  return {
    **code,
    'made_by': MADE_BY,
    'kind': 'metric' if network.metric else 'relative',
    'meaning': meaning,
    'aligned': aligned,
    'network': record['title'],
    'sha256': record['sha256'],
    'side': network.side,
  }


def encode(
  said: np.ndarray, *, metric: bool, quantiles: np.ndarray | None = None
) -> np.ndarray:
  """Returns uint16 [H, W] of one image, in the code that `describe` says.

  Args:
    said: float [H, W], what the network says.
    metric: whether that is metres.
    quantiles: of the inverse depth to align relative depth to, or None.
  """
  if metric:
    return formats.encode_metres(said)
  if quantiles is not None:
    return formats.encode_metres(align(said, quantiles))
  # An image that is far everywhere has no greatest.
  return formats.encode_inverse(said, greatest=float(said.max()) or 1.0)


def align(relative: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
  """Returns metres [H, W] of relative inverse depth.

  a d + b with the least squared difference of its quantiles from those given,
  of `ops.depth.invert_depth`.

  Args:
    relative: float [H, W] d, inverse depth up to a factor and a shift.
    quantiles: inverse depth at `QUANTILES`.
  """
  wide = np.asarray(relative, np.float64)
  ours = np.quantile(wide, QUANTILES)
  spread = ours - ours.mean()
  # Both rise, so that the factor is no less than 0; that of a wall is.
  factor = spread @ quantiles / max(spread @ spread, 1e-12)
  inverse = factor * (wide - ours.mean()) + np.mean(quantiles)
  return np.asarray(depth_ops.restore_depth(inverse))


def measure(
  dataset: str, *, split: str = 'train', **where: Any
) -> dict[str, Any]:
  """Takes the quantiles of a prepared dataset's inverse depth.

  Args:
    dataset: name of a dataset with depth in metres, or disparity of a camera.
    split: its split.
    **where: 'data_dir' and 'manual_dir', see `rows.Rows`.

  Returns:
    See `describe`. The quantiles are of all valid pixels of at most a hundred
    images, spread over the split; the sky is one of them, with 1.

  Raises:
    UserError: no such dataset, or one without depth that has a unit.
  """
  # TensorFlow takes seconds to load, and is needed for nothing else.
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
