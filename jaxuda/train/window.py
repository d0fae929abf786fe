"""The metrics of the last steps, and the checks for NaN and infinity."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.run import checkpoint

# Steps that may be in flight on the devices. More would only pile up batches,
# and with fewer the devices would wait for the host.
_IN_FLIGHT = 2


class NonFiniteError(errors.UserError):
  """Raised for a NaN or an infinity in training; checkpoints stay good."""


class Window:
  """The metrics since the last log line, kept on the devices until needed."""

  def __init__(self):
    self._waiting = []
    self._fetched = []
    self._last = {}

  def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
    """Adds the metrics of one step; waits for those of two steps ago."""
    self._waiting.append((step, metrics))
    if len(self._waiting) > _IN_FLIGHT:
      jax.block_until_ready(self._waiting[-1 - _IN_FLIGHT][1])

  def newest(self) -> dict[str, float]:
    """Returns the newest metrics that are ready; {} if there are none yet."""
    ready = self._waiting[:-_IN_FLIGHT]
    if ready:
      return _floats(jax.device_get(ready[-1][1]))
    return dict(self._last)

  def check(self) -> None:
    """Fetches the metrics that are still on the devices and checks the losses.

    Raises:
      NonFiniteError: a loss is not finite; names the first such step, and all
        of its losses that are not finite.
    """
    for step, metrics in jax.device_get(self._waiting):
      values = _floats(metrics)
      bad = [
        f'{name}={value}'
        for name, value in values.items()
        if name.startswith('loss_') and not np.isfinite(value)
      ]
      if bad:
        raise NonFiniteError(f'not finite at step {step}: {", ".join(bad)}')
      self._fetched.append(values)
      self._last = values
    self._waiting = []

  def take_mean(self) -> dict[str, float]:
    """Returns the means over the window, and empties it."""
    self.check()
    fetched, self._fetched = self._fetched, []
    return {
      name: float(np.mean([values[name] for values in fetched]))
      for name in (fetched or [{}])[0]
    }


def find_non_finite(state: Any) -> list[str]:
  """Returns the paths of the leaves that hold a NaN or an infinity."""
  # On the host, which needs the state next for the checkpoint: a program with
  # so many reductions takes seconds to compile.
  return [
    path
    for path, x in jax.device_get(checkpoint.flatten(state)).items()
    if jnp.issubdtype(x.dtype, jnp.inexact) and not np.isfinite(x).all()
  ]


def _floats(metrics):
  return {name: float(value) for name, value in metrics.items()}
