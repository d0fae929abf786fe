"""Kinds of TPUs, and topologies of them that need not be there."""

import dataclasses
import pathlib
import tempfile
from typing import Any

from jax.experimental import topologies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """A kind of TPU, by Google's data sheets.

  Attributes:
    gib: its memory.
    tflops: operations a second in bfloat16, 1e12.
    gbps: bytes of memory a second, 1e9.
    dims: directions of a topology.
    config: of the chip, in libtpu's words, so that it is one device.
  """

  gib: float
  tflops: float
  gbps: float
  dims: int
  config: str = ''


CHIPS = {
  'v4': Chip(gib=32, tflops=275, gbps=1228, dims=3, config='megacore'),
  'v5e': Chip(gib=16, tflops=197, gbps=819, dims=2),
  'v5p': Chip(gib=95, tflops=459, gbps=2765, dims=3),
  'v6e': Chip(gib=32, tflops=918, gbps=1640, dims=2),
}


def find_devices(topology: str) -> list[Any]:
  """Returns the devices of a topology such as 'v5e:4x4'; one for each chip.

  Raises:
    SystemExit: no such topology, or no libtpu.
  """
  kind, _, layout = topology.partition(':')
  sides = [int(x) for x in layout.split('x') if x.isdecimal()]
  if kind not in CHIPS or len(sides) != CHIPS[kind].dims or not min(sides):
    example = ', '.join(
      k + ':' + 'x'.join('4' * c.dims) for k, c in CHIPS.items()
    )
    raise SystemExit(
      f'unknown topology {topology!r}; expected such as {example}'
    )
  options = (
    {'chip_config_name': CHIPS[kind].config} if CHIPS[kind].config else {}
  )
  # A host has 2x2 chips, but where that does not divide the topology.
  if any(side % 2 for side in sides[:2]):
    options['chips_per_host_bounds'] = [*sides, 1][:3]
  # Left by a process that was killed, it keeps all others from compiling.
  pathlib.Path(tempfile.gettempdir(), 'libtpu_lockfile').unlink(missing_ok=True)
  try:
    found = topologies.get_topology_desc(topology, platform='tpu', **options)
  except (RuntimeError, OSError) as e:
    raise SystemExit(
      f'{topology} cannot be compiled for ({str(e).splitlines()[0]}); expected'
      ' libtpu to be installed: pip install "jax[tpu]"'
    ) from e
  return list(found.devices)
