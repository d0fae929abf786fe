"""Strict modes for every test: mistakes that JAX lets pass are errors here."""

from importlib import metadata
import os

from packaging import version

# Before JAX and TensorFlow are imported. The tests are written for two CPU
# devices, whatever else the machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# The tests compile much and compute little: LLVM's optimisations would take
# most of their time (the first state of the small network: 34 s of CPU with
# them, 6 s without), and the emitters that go through MLIR half of the rest
# (a forward and backward pass: 2.2 s with them, 0.9 s without). A program in 32
# parts, for as many cores as there may be, takes a fifth more than in one (a
# state and a step of DADA: 6.0 s and 4.8 s). Newer releases are to lose the way
# around the emitters, and a flag that XLA does not know ends the process.
os.environ.setdefault(
  'XLA_FLAGS',
  '--xla_backend_optimization_level=0'
  + (
    ' --xla_cpu_use_fusion_emitters=false'
    ' --xla_cpu_parallel_codegen_split_count=1'
    if version.parse(metadata.version('jaxlib')) < version.parse('0.13')
    else ''
  ),
)
# Many tests, their subprocesses and the next run compile the same programs.
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  os.path.join(os.path.dirname(os.path.dirname(__file__)), '.pytest_cache/jax'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')

import jax

jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

# They wait for several processes. One that began last would leave the other
# worker without work.
_LONG = ('test_colabs', 'test_distributed', 'test_killed', 'test_resume')


def pytest_collection_modifyitems(items):
  """Puts the longest tests first."""
  items.sort(key=lambda item: item.path.stem not in _LONG)
