"""Arrays by name as a file that PyTorch or safetensors reads."""

from collections.abc import Mapping
import io
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
from safetensors import numpy as safetensors_numpy

from jaxuda import errors

SUFFIXES = ('.pth', '.pt', '.safetensors')
_STORAGES = {
  'float32': 'FloatStorage',
  'float64': 'DoubleStorage',
  'float16': 'HalfStorage',
  'int64': 'LongStorage',
  'int32': 'IntStorage',
  'uint8': 'ByteStorage',
}
# The only date that does not change with the clock.
_DATE = (1980, 1, 1, 0, 0, 0)


def check_path(path: str | os.PathLike) -> pathlib.Path:
  """Returns a path that `write` can write to.

  Raises:
    UserError: its suffix says no format that can be written.
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
    UserError: an unknown suffix.
  """
  path = check_path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  if path.suffix == '.safetensors':
    flat = {
      f'{name}.{key}' if name else key: x
      for name, entries in networks.items()
      for key, x in entries.items()
    }
    write_arrays(part, flat)
  else:
    _write_zip(part, networks)
  part.rename(path)


def write_arrays(
  path: str | os.PathLike, arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes arrays by name in the format of safetensors."""
  # The library takes the memory as it is, and a transposed array for a row of
  # numbers in the wrong order.
  flat = {name: _contiguous(x) for name, x in arrays.items()}
  pathlib.Path(path).write_bytes(safetensors_numpy.save(flat))


def _write_zip(path, networks):
  storages: list[np.ndarray] = []
  out = io.BytesIO()
  out.write(pickle.PROTO + b'\x02')
  if set(networks) == {''}:
    _state_dict(out, networks[''], storages)
  else:
    out.write(pickle.EMPTY_DICT + pickle.MARK)
    for name, entries in networks.items():
      _string(out, name)
      _state_dict(out, entries, storages)
    out.write(pickle.SETITEMS)
  out.write(pickle.STOP)
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:

    def add(name, data):
      archive.writestr(zipfile.ZipInfo(f'archive/{name}', _DATE), data)

    add('data.pkl', out.getvalue())
    add('byteorder', b'little')
    for index, array in enumerate(storages):
      little = array.astype(array.dtype.newbyteorder('<'), copy=False)
      add(f'data/{index}', memoryview(np.atleast_1d(little)).cast('B'))
    add('version', b'3\n')


# Opcodes by hand: a pickler would look the names up in PyTorch.


def _state_dict(out, entries, storages):
  out.write(_global('collections', 'OrderedDict'))
  out.write(pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.MARK)
  for key, value in entries.items():
    array = _contiguous(value)
    _string(out, key)
    _tensor(out, array, str(len(storages)))
    storages.append(array)
  out.write(pickle.SETITEMS)


def _contiguous(array):
  # NumPy's own makes a vector of a scalar.
  return np.ascontiguousarray(array).reshape(np.shape(array))


def _tensor(out, array, key):
  """_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())."""
  if array.dtype.name not in _STORAGES:
    raise ValueError(f'no storage of {array.dtype}')
  strides = [s // array.dtype.itemsize for s in array.strides]
  out.write(_global('torch._utils', '_rebuild_tensor_v2') + pickle.MARK)
  out.write(pickle.MARK)
  _string(out, 'storage')
  out.write(_global('torch', _STORAGES[array.dtype.name]))
  _string(out, key)
  _string(out, 'cpu')
  out.write(_int(array.size) + pickle.TUPLE + pickle.BINPERSID)
  out.write(_int(0) + _ints(array.shape) + _ints(strides) + pickle.NEWFALSE)
  out.write(_global('collections', 'OrderedDict') + pickle.EMPTY_TUPLE)
  out.write(pickle.REDUCE + pickle.TUPLE + pickle.REDUCE)


def _global(module, name):
  return pickle.GLOBAL + f'{module}\n{name}\n'.encode()


def _string(out, text):
  data = text.encode()
  out.write(pickle.BINUNICODE + struct.pack('<I', len(data)) + data)


def _int(value):
  return pickle.BININT + struct.pack('<i', value)


def _ints(values):
  return pickle.MARK + b''.join(map(_int, values)) + pickle.TUPLE
