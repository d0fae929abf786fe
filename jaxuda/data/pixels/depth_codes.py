"""Codes of 16-bit depth maps, and their conversion to metres.

A dataset's metadata say how its depth is encoded ('depth_code', 'depth_unit',
'depth_missing'):

* 'metres': raw * unit metres. SYNTHIA and Virtual KITTI use the unit 0.01;
  65535 (655.35 m) is the sky or farther. Stereo depth of Cityscapes is stored
  in the same way, rounded to a centimetre, with 65535 where it is missing.
* 'disparity': Cityscapes' own disparity, (raw - 1) / 256 pixels, 0 = none.
  Depth is baseline * focal length / disparity; each record holds the product of
  baseline and focal length as 'depth_factor'.
* 'inverse': disparity of a monocular network, up to an unknown factor. CorDA
  uses raw / 256 + 1 as 655.36 / (metres + 0.01), to resemble SYNTHIA; 0 = none.
  The metres are not measurements but the values that yield CorDA's number.

A pixel without depth has 655.35 m, whose inverse depth is 1, and is not valid.

Every method computes inverse depth from the metres of the batch, by one formula
in two equivalent forms: 65536 / (100 m + 1) (DADA, DepDis, CTRL) and 655.36 /
(m + 0.01) (CorDA).
"""

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.pixels import transforms

CODES = ('metres', 'disparity', 'inverse')
POLICIES = ('keep', 'mask')
FAR_RAW = 65535  # The largest 16-bit value: sky, or beyond.
FAR = 655.35  # Metres; its inverse depth is 1.
# Range in metres of the median depth of a street scene.
LEAST, MOST = 0.5, 500.0
# Share of pixels from which on a suspicious value is reported.
_SHARE = 0.005


def is_positive(value: Any) -> bool:
  """Returns whether a value is a finite number above 0, as a unit must be."""
  number = isinstance(value, int | float) and not isinstance(value, bool)
  return number and 0 < value < math.inf


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthCode:
  """How raw depth is encoded.

  Attributes:
    code: one of `CODES`.
    unit: metres per raw unit, for the code 'metres'.
    missing: raw values that stand for missing depth.
  """

  code: str = 'metres'
  unit: float = 0.01
  missing: tuple[int, ...] = ()

  @classmethod
  def of(cls, metadata: Mapping[str, Any]) -> 'DepthCode':
    """Reads the depth code from a dataset's metadata.

    Raises:
      UserError: the code is unknown, or the unit is not a positive number.
    """
    code = metadata.get('depth_code', 'metres')
    if code not in CODES:
      raise errors.UserError(
        f'depth_code={code!r}; expected one of {", ".join(CODES)}'
      )
    unit = metadata.get('depth_unit', 0.01)
    if not is_positive(unit):
      raise errors.UserError(
        f'depth_unit={unit!r}; expected the metres of one raw unit, more than 0'
      )
    return cls(
      code=code,
      unit=float(unit),
      missing=tuple(int(x) for x in metadata.get('depth_missing', ())),
    )


def measure(
  raw: tf.Tensor,
  code: DepthCode,
  *,
  factor: tf.Tensor | float | None = None,
  zero_depth: str = 'keep',
  far_depth: str = 'keep',
) -> tuple[tf.Tensor, tf.Tensor]:
  """Converts raw depth to metres.

  Args:
    raw: uint16 or (interpolated) float32 [...].
    code: how raw depth is encoded.
    factor: baseline times focal length, in metres times pixels, which the code
      'disparity' requires.
    zero_depth: with the code 'metres', 'keep' leaves raw 0 as 0 m, as in the
      reference code, and 'mask' makes it invalid.
    far_depth: the same for raw 65535, the sky.

  Returns:
    (float32 [...], depth of every pixel in metres; bool [...], whether it is
    valid).
  """
  for name, policy in (('zero_depth', zero_depth), ('far_depth', far_depth)):
    if policy not in POLICIES:
      raise ValueError(f'{name}={policy!r}; expected one of {POLICIES}')
  raw = tf.convert_to_tensor(raw)
  if raw.dtype == tf.uint16 and code.code != 'disparity':
    metres, valid = _tabulate(code, zero_depth, far_depth)
    return transforms.look_up(raw, metres), transforms.look_up(raw, valid)
  return _measure(raw, code, factor, zero_depth, far_depth)


@functools.cache
def _tabulate(code, zero_depth, far_depth):
  """Returns the results of `measure` for every 16-bit number."""
  # Lifts the computation out of a graph that may be under construction.
  with tf.init_scope():
    raw = tf.range(FAR_RAW + 1, dtype=tf.float64)
    tables = _measure(raw, code, None, zero_depth, far_depth)
    return tuple(x.numpy() for x in tables)


def _measure(raw, code, factor, zero_depth, far_depth):
  # In double precision, so that 65535 gives 655.35 and not 655.3499.
  raw = tf.cast(raw, tf.float64)
  valid = tf.ones_like(raw, tf.bool)
  for value in code.missing:
    valid &= raw != value
  if code.code == 'metres':
    metres = tf.where(valid, raw * code.unit, FAR)
    if zero_depth == 'mask':
      valid &= raw != 0
    if far_depth == 'mask':
      valid &= raw != FAR_RAW
  elif code.code == 'disparity':
    # Raw 1 is a disparity of 0: infinitely far, whether measured or not.
    valid &= raw > 1
    pixels = tf.maximum(raw - 1, 1e-9) / 256
    metres = tf.where(valid, tf.cast(factor, tf.float64) / pixels, FAR)
    metres = tf.minimum(metres, FAR)
  else:
    valid &= raw != 0
    metres = tf.where(valid, 655.36 / (raw / 256 + 1) - 0.01, FAR)
  return tf.cast(metres, tf.float32), valid


def approach(metres: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Returns the depth of a picture that is shown enlarged.

  What appears twice as large is half as far away for the same camera (Eigen et
  al., NIPS 2014, data augmentation). The sky, at `FAR` or beyond, stays there.

  Args:
    metres: float32 [...].
    factor: float32 scalar, size of the enlarged picture over its own.
  """
  return tf.where(metres >= FAR, metres, tf.minimum(metres / factor, FAR))


def find_doubts(
  counts: np.ndarray, code: DepthCode, *, factor: float = 1.0
) -> Iterator[tuple[str, str]]:
  """Finds implausible depth and suggests what it may be.

  Args:
    counts: int [65536], number of pixels of each raw depth.
    code: how raw depth is encoded.
    factor: see `measure`.

  Yields:
    ('implausible depth', 'zero depth' or 'far depth'; text of the message).
  """
  measured = np.flatnonzero(counts[1:-1]) + 1
  measured = measured[~np.isin(measured, code.missing)]
  if code.code == 'inverse' or not measured.size:
    return
  above = np.cumsum(counts[measured])
  middle = int(measured[np.searchsorted(above, above[-1] / 2)])
  raw = np.array([middle, FAR_RAW], np.uint16)
  metres, far = measure(raw, code, factor=factor)[0].numpy()
  if not LEAST <= metres <= MOST:
    text = f'has a median of {metres:.4g} m'
    if code.code == 'metres':
      scales = {'millimetres': 1e-3, 'centimetres': 1e-2, 'metres': 1.0}
      # The usual distance in a street is about 10 m.
      unit = min(scales, key=lambda x: abs(np.log(middle * scales[x] / 10)))
      text += (
        f'; with unit: {scales[unit]:g}, that is {unit}, it would be'
        f' {middle * scales[unit]:.4g} m'
      )
      if 2 <= middle / 256 <= 100:
        text += f', with 0.00390625, that is 1/256 m, {middle / 256:.4g} m'
    yield 'implausible depth', f'{text}; expected {LEAST} m to {MOST:g} m'
  if code.code == 'metres':
    shares = counts / counts.sum()
    if shares[0] >= _SHARE and 0 not in code.missing:
      yield (
        'zero depth',
        f'is 0 m in {shares[0]:.1%} of its pixels; expected 0 among the'
        ' missing values, if it stands for no value',
      )
    # If 65535 is the end of the range, there is also depth just below it.
    lonely = far > 1.5 * float(measured[-1]) * code.unit and far < MOST
    if shares[-1] >= _SHARE and FAR_RAW not in code.missing and lonely:
      yield (
        'far depth',
        f'is {FAR_RAW}, {far:.4g} m, in {shares[-1]:.1%} of its pixels and'
        f' otherwise at most {measured[-1]}; expected {FAR_RAW} among the'
        ' missing values, if it stands for no value',
      )
