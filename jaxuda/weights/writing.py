"""Files of arrays by name that PyTorch or safetensors reads."""

from collections import OrderedDict
from collections.abc import Mapping
import os
import pathlib
import pickle
import struct
from typing import Any
import zipfile

import numpy as np
from safetensors import numpy as safetensors_numpy

from jaxuda import errors
from jaxuda.ui import files
from jaxuda.weights import unpickle

SUFFIXES = ('.pth', '.pt', '.safetensors')
_STORAGES = {
  dtype.name: f'{name}Storage' for name, dtype in unpickle.DTYPES.items()
}
# The only date that does not change with the clock.
_DATE = (1980, 1, 1, 0, 0, 0)


def check_path(path: str | os.PathLike) -> pathlib.Path:
  """Returns a path that `write` can write to.

  Raises:
    UserError: its suffix is not that of a format that can be written.
  """
  path = pathlib.Path(path)
  if path.suffix not in SUFFIXES:
    raise errors.UserError(
      f'{path} has no known suffix; expected one of {", ".join(SUFFIXES)}, or a'
      ' folder'
    )
  return path


def write(
  path: str | os.PathLike,
  networks: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
  """Writes state dicts; the file is at any moment either whole or absent.

  Args:
    path: .pth or .pt (the zip format, for PyTorch 1.6 and newer, also with
      `weights_only=True`) or .safetensors.
    networks: name in the file ('model', 'ema_model') -> key -> array. A single
      one called '' is written flat.

  Raises:
    UserError: the suffix is unknown.
  """
  path = check_path(path)
  if path.suffix == '.safetensors':
    flat = {
      f'{name}.{key}' if name else key: x
      for name, arrays in networks.items()
      for key, x in arrays.items()
    }
    return write_arrays(path, flat)
  storages: list[np.ndarray] = []
  tree = {
    name: OrderedDict((key, np.asarray(x)) for key, x in arrays.items())
    for name, arrays in networks.items()
  }
  data = _encode(tree[''] if set(tree) == {''} else tree, storages)
  entries = {
    'data.pkl': pickle.PROTO + b'\x02' + data + pickle.STOP,
    'byteorder': b'little',
    **{f'data/{i}': _little_endian(x) for i, x in enumerate(storages)},
    'version': b'3\n',
  }
  with files.atomic(path) as part, zipfile.ZipFile(part, 'w') as archive:
    for name, entry in entries.items():
      archive.writestr(zipfile.ZipInfo(f'archive/{name}', _DATE), entry)


def _little_endian(array):
  little = array.astype(array.dtype.newbyteorder('<'), copy=False)
  return memoryview(np.atleast_1d(little)).cast('B')


def write_arrays(
  path: str | os.PathLike, arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes arrays by name in the format of safetensors."""
  with files.atomic(path) as part:
    part.write_bytes(encode_arrays(arrays))


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
  """Returns the content of a file of `write_arrays`."""
  # The library takes the memory as it is, so that it would write the numbers of
  # a transposed array in the wrong order.
  flat = {name: _contiguous(x) for name, x in arrays.items()}
  return safetensors_numpy.save(flat)


def _contiguous(array):
  # NumPy's own function makes a vector of a scalar.
  return np.ascontiguousarray(array).reshape(np.shape(array))


def _encode(x: Any, storages: list[np.ndarray]) -> bytes:
  """Returns a value's opcodes, and appends the arrays in it to `storages`.

  By hand: a pickler would look the names up in PyTorch.
  """
  if isinstance(x, np.ndarray):
    return _encode_tensor(_contiguous(x), storages)
  if isinstance(x, bool):
    return pickle.NEWTRUE if x else pickle.NEWFALSE
  if isinstance(x, int):
    return pickle.BININT + struct.pack('<i', x)
  if isinstance(x, str):
    data = x.encode()
    return pickle.BINUNICODE + struct.pack('<I', len(data)) + data
  if isinstance(x, tuple):
    inside = b''.join(_encode(item, storages) for item in x)
    return pickle.MARK + inside + pickle.TUPLE
  inside = b''.join(
    _encode(item, storages) for pair in x.items() for item in pair
  )
  start = pickle.EMPTY_DICT
  if isinstance(x, OrderedDict):
    start = _name('collections', 'OrderedDict')
    start += pickle.EMPTY_TUPLE + pickle.REDUCE
  return start + pickle.MARK + inside + pickle.SETITEMS


def _encode_tensor(array, storages):
  """_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())."""
  if array.dtype.name not in _STORAGES:
    raise ValueError(f'no storage of {array.dtype}')
  storages.append(array)
  strides = tuple(s // array.dtype.itemsize for s in array.strides)

  def encode(*items):
    return b''.join(_encode(item, storages) for item in items)

  storage = pickle.MARK + encode('storage')
  storage += _name('torch', _STORAGES[array.dtype.name])
  storage += encode(str(len(storages) - 1), 'cpu', array.size)
  storage += pickle.TUPLE + pickle.BINPERSID
  view = encode(0, array.shape, strides, False, OrderedDict())
  function = _name('torch._utils', '_rebuild_tensor_v2')
  return function + pickle.MARK + storage + view + pickle.TUPLE + pickle.REDUCE


def _name(module, name):
  return pickle.GLOBAL + f'{module}\n{name}\n'.encode()
