"""Strict modes for every test: mistakes that JAX tolerates are errors here."""

import importlib.util
import mmap
import os
import pathlib

# Before JAX and TensorFlow are imported. The tests are written for two CPU
# devices, whatever else the machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


def _xla_knows(flag):
  """Returns whether jaxlib's library contains a flag's name as a C string.

  Releases drop flags (0.11 one of those below), and a flag that XLA does not
  know ends the process without a message from pytest.
  """
  folder = pathlib.Path(importlib.util.find_spec('jaxlib').origin).parent
  for path in folder.glob('libjax_common.*'):
    with (
      path.open('rb') as file,
      mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library,
    ):
      if library.find(b'\0%s\0' % flag.encode()) >= 0:
        return True
  return False


# The tests compile a lot and compute little: LLVM's optimisations would take
# most of their time (the first state of the small network: 34 s of CPU with
# them, 6 s without), and the emitters that use MLIR half of the rest (a forward
# and backward pass: 2.2 s with them, 0.9 s without). A program split into 32
# parts, for machines with many cores, takes a fifth longer than in one part (a
# state and a step of DADA: 6.0 s and 4.8 s).
_XLA_FLAGS = {
  'xla_backend_optimization_level': '0',
  'xla_cpu_use_fusion_emitters': 'false',
  'xla_cpu_parallel_codegen_split_count': '1',
}
if 'XLA_FLAGS' not in os.environ:
  os.environ['XLA_FLAGS'] = ' '.join(
    f'--{flag}={value}'
    for flag, value in _XLA_FLAGS.items()
    if _xla_knows(flag)
  )

# Many tests, their subprocesses and the next run compile the same programs.
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  os.path.join(os.path.dirname(os.path.dirname(__file__)), '.pytest_cache/jax'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')

import jax  # noqa: E402

jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

# Most wait for several processes. If one started last, the other worker would
# be idle. And tests at the front of a worker's queue are the last that another
# one takes over, which would make what these share again: the wheel and its
# environment, or the results of two processes.
_LONG = (
  *('test_check_golden', 'test_colabs', 'test_devices', 'test_distributed'),
  *('test_killed', 'test_resume', 'test_wheel'),
)


def pytest_collection_modifyitems(items):
  """Puts the longest tests first."""
  items.sort(key=lambda item: item.path.stem not in _LONG)
