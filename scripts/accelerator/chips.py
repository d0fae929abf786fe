"""Kinds of accelerators, and topologies of them that need not be present."""

import dataclasses
import os
import pathlib
import tempfile
from typing import Any

from jax.experimental import topologies

# With these, libtpu does not query the machine for its type and keeps no log.
_LIBTPU = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-1',
  'TPU_STDERR_LOG_LEVEL': '3',
  'TPU_LOG_DIR': 'disabled',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """A kind of accelerator, according to its maker's data sheet.

  Attributes:
    gib: memory in GiB.
    tflops: peak rate in bfloat16, in TFLOP/s.
    gbps: memory bandwidth in GB/s.
    dims: number of dimensions of a topology.
    platform: 'tpu' or 'gpu'.
    option: name and value of the option that tells the compiler which chip it
      is; for a TPU, how its cores form one device.
  """

  gib: float
  tflops: float
  gbps: float
  dims: int
  platform: str = 'tpu'
  option: tuple[str, str] | None = None


_H100 = """
  platform_name: "CUDA"
  device_description_str: "NVIDIA H100 80GB HBM3"
  dnn_version_info { major: 9 minor: 8 }
  gpu_device_info {
    cuda_compute_capability { major: 9 }
    threads_per_block_limit: 1024
    threads_per_warp: 32
    shared_memory_per_block: 49152
    shared_memory_per_block_optin: 232448
    shared_memory_per_core: 233472
    threads_per_core_limit: 2048
    core_count: 132
    fpus_per_core: 128
    block_dim_limit_x: 2147483647
    block_dim_limit_y: 65535
    block_dim_limit_z: 65535
    registers_per_core_limit: 65536
    registers_per_block_limit: 65536
    memory_bandwidth: 3352320000000
    l2_cache_size: 52428800
    clock_rate_ghz: 1.98
    device_memory_size: 84978434048
  }
"""

CHIPS = {
  'v4': Chip(
    gib=32,
    tflops=275,
    gbps=1228,
    dims=3,
    option=('chip_config_name', 'megacore'),
  ),
  'v5e': Chip(gib=16, tflops=197, gbps=819, dims=2),
  'v5p': Chip(gib=95, tflops=459, gbps=2765, dims=3),
  'v6e': Chip(gib=32, tflops=918, gbps=1640, dims=2),
  'h100': Chip(
    gib=79,
    tflops=989,
    gbps=3352,
    dims=1,
    platform='gpu',
    option=('target_config', _H100),
  ),
}


def check(topology: str) -> tuple[Chip, list[int]]:
  """Returns the kind of chip, and how many there are along each dimension.

  Raises:
    SystemExit: the topology, such as 'v5e:4x4', is unknown.
  """
  kind, _, layout = topology.partition(':')
  sides = [int(x) if x.isdecimal() else 0 for x in layout.split('x')]
  chip = CHIPS.get(kind)
  if not chip or len(sides) != chip.dims or not min(sides):
    example = ', '.join(
      k + ':' + 'x'.join('4' * c.dims) for k, c in CHIPS.items()
    )
    raise SystemExit(
      f'unknown topology {topology!r}; expected a name such as {example}'
    )
  return chip, sides


def find_devices(topology: str) -> list[Any]:
  """Returns the devices of a topology such as 'v5e:4x4'; one for each chip.

  Raises:
    SystemExit: the topology is unknown, or there is no compiler for it.
  """
  chip, sides = check(topology)
  options: dict[str, Any] = dict([chip.option] if chip.option else [])
  if chip.platform == 'gpu':
    # One host.
    options['topology'] = f'1x1x{sides[0]}'
  elif any(side % 2 for side in sides[:2]):
    # A host has 2x2 chips, unless that does not divide the topology.
    options['chips_per_host_bounds'] = [*sides, 1][:3]
  for name, value in _LIBTPU.items():
    os.environ.setdefault(name, value)
  # If a killed process leaves it behind, no other process can compile.
  pathlib.Path(tempfile.gettempdir(), 'libtpu_lockfile').unlink(missing_ok=True)
  platform, extra = {'tpu': ('tpu', 'tpu'), 'gpu': ('cuda', 'cuda12')}[
    chip.platform
  ]
  try:
    found = topologies.get_topology_desc(topology, platform, **options)
  except (RuntimeError, NotImplementedError, OSError) as e:
    raise SystemExit(
      f'{topology} cannot be compiled for ({str(e).splitlines()[0]}); expected'
      f' its compiler to be installed: pip install "jax[{extra}]"'
    ) from e
  return list(found.devices)
