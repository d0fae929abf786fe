"""Codes of 16-bit depth maps, and how they become metres.

A dataset's metadata say which code its depth has ('depth_code', 'depth_unit',
'depth_missing'):

* 'metres': raw * unit metres. SYNTHIA and Virtual KITTI: unit 0.01, where 65535
  (655.35 m) is the sky or farther. Stereo depth of Cityscapes is stored so,
  rounded to a centimetre, with 65535 where there is none.
* 'disparity': Cityscapes' own disparity, (raw - 1) / 256 pixels, 0 = none.
  Depth is baseline * focal length / disparity; each record has the product of
  the two as 'depth_factor'.
* 'inverse': disparity of a monocular network, up to an unknown factor. CorDA
  takes raw / 256 + 1 for 655.36 / (metres + 0.01), to resemble SYNTHIA; 0 =
  none. The metres are no measurement: they are what gives CorDA's number.

A pixel without depth is 655.35 m, whose inverse depth is 1, and not valid.

Every method computes inverse depth from the metres of the batch, by one formula
in two spellings: 65536 / (100 m + 1) (DADA, DepDis, CTRL) and 655.36 / (m +
0.01) (CorDA).
"""

from collections.abc import Mapping
import dataclasses
import functools
import math
from typing import Any

import tensorflow as tf

from jaxuda import errors
from jaxuda.data.pixels import transforms

CODES = ('metres', 'disparity', 'inverse')
POLICIES = ('keep', 'mask')
FAR_RAW = 65535  # The largest 16-bit value: sky, or beyond.
FAR = 655.35  # Metres; its inverse depth is 1.


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthCode:
  """The meaning of raw depth.

  Attributes:
    code: one of `CODES`.
    unit: metres in one raw unit, of the code 'metres'.
    missing: raw values for "nothing was measured".
  """

  code: str = 'metres'
  unit: float = 0.01
  missing: tuple[int, ...] = ()

  @classmethod
  def of(cls, metadata: Mapping[str, Any]) -> 'DepthCode':
    """Reads the code in a dataset's metadata.

    Raises:
      UserError: a code that is not known, or a unit that is no length.
    """
    code = metadata.get('depth_code', 'metres')
    if code not in CODES:
      raise errors.UserError(
        f'depth_code={code!r}; expected one of {", ".join(CODES)}'
      )
    unit = metadata.get('depth_unit', 0.01)
    number = isinstance(unit, int | float) and not isinstance(unit, bool)
    if not number or not 0 < unit < math.inf:
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
  """Turns raw depth into metres.

  Args:
    raw: uint16 or (interpolated) float32 [...].
    code: meaning of the numbers.
    factor: baseline times focal length in metres times pixels, which the code
      'disparity' needs.
    zero_depth: with the code 'metres', 'keep' leaves raw 0 as 0 m, as in the
      references, 'mask' makes it invalid.
    far_depth: the same for raw 65535, the sky.

  Returns:
    (float32 [...], metres of every pixel; bool [...], where they are valid).
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
  """Returns what `measure` gives for every 16-bit number."""
  # A graph may be under construction.
  with tf.init_scope():
    raw = tf.range(FAR_RAW + 1, dtype=tf.float64)
    tables = _measure(raw, code, None, zero_depth, far_depth)
    return tuple(x.numpy() for x in tables)


def _measure(raw, code, factor, zero_depth, far_depth):
  # In double: 65535 is 655.35 and not 655.3499.
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
    # 1 is a disparity of 0: infinitely far, measured or not.
    valid &= raw > 1
    pixels = tf.maximum(raw - 1, 1e-9) / 256
    metres = tf.where(valid, tf.cast(factor, tf.float64) / pixels, FAR)
    metres = tf.minimum(metres, FAR)
  else:
    valid &= raw != 0
    metres = tf.where(valid, 655.36 / (raw / 256 + 1) - 0.01, FAR)
  return tf.cast(metres, tf.float32), valid
