"""Inputs and weights of the golden numbers: pure functions of a name.

Everything is NCHW and OIHW, as in the PyTorch references, and float64.
"""

from collections.abc import Sequence
import zlib

import numpy as np


def _generator(name: str, salt: int) -> np.random.RandomState:
  seed = (zlib.crc32(name.encode()) + salt) & 0xFFFFFFFF
  return np.random.RandomState(seed)


def tensor(name: str, shape: Sequence[int], *, salt: int = 0) -> np.ndarray:
  """Returns the entry `name` of a state dict.

  Convolutions and linear layers are N(0, 1 / fan_in), norm scales
  1 + N(0, 0.1), biases and running means N(0, 0.1), running variances
  1 + |N(0, 0.2)|.
  """
  x = _generator(name, salt).standard_normal(tuple(shape))
  leaf = name.rsplit('.', 1)[-1]
  if leaf == 'num_batches_tracked':
    return np.zeros(shape)
  if leaf == 'running_var':
    return 1 + 0.2 * np.abs(x)
  if len(shape) in (2, 4):
    return x * np.sqrt(1 / np.prod(shape[1:]))
  if leaf == 'weight':
    return 1 + 0.1 * x
  return 0.1 * x


def image(name: str, shape: Sequence[int], *, salt: int = 0) -> np.ndarray:
  """Returns a blocky image [N, 3, H, W], about -120..120, minus the mean."""
  generator = _generator(name, salt)
  n, channels, height, width = shape
  blocks = (n, channels, -(-height // 8), -(-width // 8))
  base = generator.standard_normal(blocks)
  base = base.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width]
  noise = generator.standard_normal(tuple(shape))
  return np.clip(40 * base + 10 * noise, -120, 135)


def labels(
  name: str, shape: Sequence[int], *, classes: int, salt: int = 0
) -> np.ndarray:
  """Returns a blocky label map [N, H, W], a twentieth of which is 255."""
  generator = _generator(name, salt)
  n, height, width = shape
  blocks = (n, -(-height // 16), -(-width // 16))
  base = generator.randint(0, classes, blocks)
  base = base.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width].copy()
  base[generator.uniform(size=base.shape) < 0.05] = 255
  return base


def positive(
  name: str, shape: Sequence[int], low: float, high: float, *, salt: int = 0
) -> np.ndarray:
  """Returns uniform numbers in [low, high)."""
  return _generator(name, salt).uniform(low, high, tuple(shape))
