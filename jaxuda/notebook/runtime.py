"""Checks a notebook's runtime, and installs what jaxuda still needs there.

A hosted runtime has its own builds of JAX and TensorFlow, for its accelerator.
They are kept if they are recent enough. The first cell of a notebook runs this
module, at a time when none of the other packages may be installed.
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
except ImportError:  # A bare Python has it only within pip.
  from pip._vendor.packaging import requirements as requirements_lib

# All import as tensorflow: a runtime with any of them has TensorFlow.
_TENSORFLOW = ('tensorflow', 'tensorflow-cpu', 'tf-nightly')
_CUDA = ('cuda13', 'cuda12')
# Environment variables of TPU machines.
_TPU = ('TPU_ACCELERATOR_TYPE', 'TPU_NAME', 'COLAB_TPU_ADDR')


def find_accelerator() -> str:
  """Returns 'gpu' (NVIDIA only), 'tpu' or '', whether JAX sees it or not."""
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

  JAX is required together with the plugin for the accelerator. The installed
  version of JAX is kept if it is recent enough, and so is the kind of plugin.

  Args:
    needed: requirements in pip's format; None for those of the installed
      jaxuda.
    accelerator: see `find_accelerator`.
    version: function that returns the installed version of a package by name or
      raises PackageNotFoundError; replaced in tests.
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
      # Two of them would be installed into the same folder.
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
  """Returns the requirements of the installed jaxuda; none for a clone."""
  try:
    return importlib.metadata.requires('jaxuda') or []
  except importlib.metadata.PackageNotFoundError:
    return []


def complete() -> None:
  """Installs what is missing, if anything is.

  Raises:
    CalledProcessError: pip failed, and has printed why.
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
    print(f'{", ".join(loaded)} was already loaded: restart the runtime')


def describe() -> str:
  """Returns a description such as 'Python 3.12.3, jax 0.10.2 on 1 Tesla T4'.

  It also names an accelerator that the machine has but JAX does not see.
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
