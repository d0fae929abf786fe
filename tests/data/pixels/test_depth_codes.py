import numpy as np
import pytest
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.pixels import depth_codes

RAW = np.array([0, 1, 100, 65534, 65535], np.uint16)


def measure(raw, code=None, **options):
  metres, valid = depth_codes.measure(
    tf.constant(raw), code or depth_codes.DepthCode(), **options
  )
  assert metres.dtype == tf.float32
  return metres.numpy(), valid.numpy().tolist()


def inverse(metres):
  """Computes inverse depth with the formula of DADA and CorDA."""
  dada = 65536 / (100 * metres.astype(np.float64) + 1)
  corda = 655.36 / (metres.astype(np.float64) + 0.01)
  np.testing.assert_allclose(dada, corda)
  return corda


def test_centimetres():
  metres, valid = measure(RAW)
  np.testing.assert_array_equal(
    metres, np.float32([0, 0.01, 1, 655.34, 655.35])
  )
  assert all(valid)
  np.testing.assert_allclose(
    inverse(metres), [65536, 32768, 648.871, 1.0000153, 1], rtol=1e-6
  )


def test_masks():
  _, no_zero = measure(RAW, zero_depth='mask')
  assert no_zero == [False, True, True, True, True]
  code = depth_codes.DepthCode(unit=1 / 256)
  metres, near = measure(RAW, code, far_depth='mask')
  assert near == [True, True, True, True, False]
  assert metres[2] == 100 / 256


def test_missing_is_far_and_never_valid():
  code = depth_codes.DepthCode(missing=(65535, 0))
  metres, valid = measure(RAW, code)
  assert valid == [False, True, True, True, False]
  assert metres[0] == metres[-1] == np.float32(655.35)


def test_cityscapes_disparity():
  # One real camera: baseline 0.209313 m, focal length 2262.52 pixels.
  factor = 0.209313 * 2262.52
  raw = np.array([0, 1, 2, 257, 25601, 65535], np.uint16)
  code = depth_codes.DepthCode(code='disparity')
  metres, valid = measure(raw, code, factor=factor)
  assert valid == [False, False, True, True, True, True]
  # 1 / 256 pixel would be 121 km.
  np.testing.assert_allclose(
    metres,
    [655.35, 655.35, 655.35, factor, factor / 100, factor / (65534 / 256)],
    rtol=1e-6,
  )


def test_monocular_disparity_gives_cordas_number():
  raw = np.array([0, 1, 256, 25600, 65535], np.uint16)
  metres, valid = measure(raw, depth_codes.DepthCode(code='inverse'))
  assert valid == [False, True, True, True, True]
  np.testing.assert_allclose(
    inverse(metres), raw.astype(float) / 256 + 1, rtol=1e-5
  )


def test_code_of_metadata():
  metadata = {
    'depth_code': 'disparity',
    'depth_unit': 0.5,
    'depth_missing': [7],
    'layout': 'more',
  }
  assert depth_codes.DepthCode.of(metadata) == depth_codes.DepthCode(
    code='disparity', unit=0.5, missing=(7,)
  )
  assert depth_codes.DepthCode.of({}) == depth_codes.DepthCode()
  with pytest.raises(errors.UserError, match=r"'feet'.*one of metres"):
    depth_codes.DepthCode.of({'depth_code': 'feet'})
  for unit in (0, -0.01, float('inf'), float('nan'), '0.01', True, None):
    with pytest.raises(errors.UserError, match=f'depth_unit={unit!r}; exp'):
      depth_codes.DepthCode.of({'depth_unit': unit})


def test_unknown_policy():
  with pytest.raises(ValueError, match='expected one of'):
    measure(RAW, zero_depth='drop')
