"""The machine that a notebook runs on, and what it still lacks for jaxuda.

A hosted runtime has its own builds of JAX and TensorFlow, for its accelerator.
They stay where they are new enough. The first cell of a notebook runs this when
none of the other packages need be there.
"""

from collections.abc import Callable, Sequence
import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys

try:
  from packaging import requirements as requirements_lib
except ImportError:  # Of a bare Python, which has it within pip.
  from pip._vendor.packaging import requirements as requirements_lib

# One imports as the other: a runtime with any of them has TensorFlow.
_TENSORFLOW = ('tensorflow', 'tensorflow-cpu', 'tf-nightly')
_CUDA = ('cuda13', 'cuda12')
# Variables of TPU machines.
_TPU = ('TPU_ACCELERATOR_TYPE', 'TPU_NAME', 'COLAB_TPU_ADDR')


def find_accelerator() -> str:
  """Returns 'gpu' (of NVIDIA), 'tpu' or '', whatever JAX sees of it."""
  if os.path.exists('/dev/accel0') or any(map(os.environ.get, _TPU)):
    return 'tpu'
  try:
    listed = subprocess.run(['nvidia-smi', '-L'], capture_output=True)
  except OSError:
    return ''
  return 'gpu' if listed.returncode == 0 and b'GPU' in listed.stdout else ''


def find_missing(
  needed: Sequence[str] | None = None,
  *,
  accelerator: str = '',
  version: Callable[[str], str] = importlib.metadata.version,
) -> list[str]:
  """Returns the requirements of jaxuda that this environment does not meet.

  JAX is asked for with the plugin of the accelerator, of the kind that is
  there, and in the version that is there if that is new enough.

  Args:
    needed: requirements as pip knows them; None for those of the installed
      jaxuda.
    accelerator: see `find_accelerator`.
    version: name of a package -> its version here, or a PackageNotFoundError;
      another one is for tests.
  """
  if needed is None:
    needed = _read_needed()

  def find(name):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      return version(name)

  missing = []
  for text in needed:
    required = requirements_lib.Requirement(text)
    if required.marker and not required.marker.evaluate({'extra': ''}):
      continue
    name = required.name
    if name in _TENSORFLOW:
      # Two of them would lie in the same folder.
      name = next(filter(find, _TENSORFLOW), name)
    found = find(name)
    met = found and required.specifier.contains(found, prereleases=True)
    wanted = f'=={found}' if met else required.specifier
    if name == 'jax' and accelerator == 'gpu':
      kinds = [x for x in _CUDA if find(f'jax-{x}-plugin')]
      name, met = f'jax[{(*kinds, "cuda")[0]}]', met and kinds
    elif name == 'jax' and accelerator == 'tpu':
      name, met = 'jax[tpu]', met and find('libtpu')
    if not met:
      missing.append(f'{name}{wanted}')
  return missing


def _read_needed():
  """The requirements of the installed jaxuda; none of a clone on the path."""
  try:
    return importlib.metadata.requires('jaxuda') or []
  except importlib.metadata.PackageNotFoundError:
    return []


def complete() -> None:
  """Installs what is missing, if anything is.

  Raises:
    CalledProcessError: pip failed, and has said why.
  """
  missing = find_missing(accelerator=find_accelerator())
  if not missing:
    return
  print(f'installing {", ".join(missing)}', flush=True)
  names = [requirements_lib.Requirement(x).name for x in missing]
  loaded = [x for x in names if x in sys.modules]
  pip = [sys.executable, '-m', 'pip', 'install', '--quiet', *missing]
  subprocess.run(pip, check=True)
  importlib.invalidate_caches()
  if loaded:
    print(f'{", ".join(loaded)} was loaded before: restart the runtime')


def describe() -> str:
  """Returns 'Python 3.12.3, jax 0.10.2 on 1 Tesla T4', and if that is not all.

  A device that is there and that JAX does not see is named.
  """
  import jax

  devices = jax.devices()
  kind = devices[0].device_kind
  where = f'{len(devices)} {kind}'
  if kind == 'cpu':
    where = f'the CPU, {os.cpu_count()} cores'
  text = f'Python {platform.python_version()}, jax {jax.__version__} on {where}'
  unseen = kind == 'cpu' and find_accelerator()
  if unseen:
    kind = {'gpu': 'cuda'}.get(unseen, unseen)
    text += (
      f'; jax does not see the {unseen.upper()}: restart the runtime, or'
      f" install 'jax[{kind}]'"
    )
  return text
