"""Reads tensors and plain containers from a pickle, executing nothing.

A pickle is a program that calls what it names. Here it can name the few things
below and no others: containers, numbers, tensors and inert stand-ins for what
else checkpoints are known to hold.
"""

from collections.abc import Callable
import dataclasses
import math
import pickle
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from jaxuda import errors

# PyTorch's storage classes and dtypes by name.
DTYPES = {
  'Float': np.dtype('<f4'),
  'Double': np.dtype('<f8'),
  'Half': np.dtype('<f2'),
  'BFloat16': np.dtype(ml_dtypes.bfloat16),
  'Long': np.dtype('<i8'),
  'Int': np.dtype('<i4'),
  'Short': np.dtype('<i2'),
  'Char': np.dtype('i1'),
  'Byte': np.dtype('u1'),
  'Bool': np.dtype('?'),
}


# A pickle can set the state of any object that it has in hand, so every class
# below defines what happens then.


def _refuse_state(self, state):
  raise pickle.UnpicklingError(f'a {type(self).__name__} has no state')


def _ignore_state(self, state):
  del self, state


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
  """The memory that tensors are views of, read on demand.

  Attributes:
    dtype: type of the elements.
    size: number of elements.
    read: function that returns the bytes.
  """

  dtype: np.dtype
  size: int
  read: Callable[[], Any]

  __setstate__ = _refuse_state


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
  """A view of a storage.

  Attributes:
    storage: see `Storage`.
    offset: place of the first element in the storage, in elements.
    shape: shape of the array.
    strides: steps between neighbours along each axis, in elements.
  """

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  __setstate__ = _refuse_state

  def array(self) -> np.ndarray:
    """Reads the tensor.

    Raises:
      ValueError: it reaches beyond its storage, or the storage is cut short.
    """
    storage = self.storage
    last = self.offset + sum(
      (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)
    )
    if 0 in self.shape:
      return np.zeros(self.shape, storage.dtype)
    count = math.prod(self.shape)
    low = min(self.offset, *self.strides, *self.shape, 0)
    if low < 0 or max(last + 1, count) > storage.size:
      raise ValueError('a tensor reaches beyond its storage')
    flat = np.frombuffer(storage.read(), storage.dtype, storage.size)
    strides = [s * storage.dtype.itemsize for s in self.strides]
    view = np.lib.stride_tricks.as_strided(
      flat[self.offset :], self.shape, strides, writeable=False
    )
    return np.ascontiguousarray(view).reshape(self.shape)


class _Inert:
  """Stands for an object that is not looked at; keeps nothing of it."""

  __slots__ = ()
  __setstate__ = _ignore_state

  def __new__(cls, *unused_args, **unused_kwargs):
    return super().__new__(cls)


class _Dict(dict):
  """OrderedDict and defaultdict; attributes such as `_metadata` are dropped."""

  __slots__ = ()
  __setstate__ = _ignore_state


class _DefaultDict(_Dict):
  __slots__ = ()

  def __init__(self, *factory):
    del factory
    super().__init__()


class _Type:
  """The class of a storage, or a dtype."""

  __slots__ = ('dtype',)
  __setstate__ = _refuse_state

  def __init__(self, dtype):
    self.dtype = dtype


class _NumberType(_Type):
  """A NumPy dtype, whose state is a byte order: the machine's in all files."""

  __slots__ = ()
  __setstate__ = _ignore_state


class _Function:
  """A function that a pickle may call."""

  __slots__ = ('_call',)
  __setstate__ = _refuse_state

  def __init__(self, call):
    self._call = call

  def __call__(self, *args):
    return self._call(*args)


def _rebuild(storage, offset, shape, strides, *unused):
  """Makes a tensor; gradient flag and hooks do not matter."""
  if not isinstance(storage, Storage):
    raise pickle.UnpicklingError('a tensor without a storage')
  shape, strides = tuple(shape), tuple(strides)
  numbers = (offset, *shape, *strides)
  if len(shape) != len(strides) or any(type(n) is not int for n in numbers):
    raise pickle.UnpicklingError('a tensor with a malformed shape')
  return Tensor(storage, offset, shape, strides)


def _number(kind, data=b''):
  """A NumPy scalar: a Python number."""
  data = data.encode('latin1') if isinstance(data, str) else data
  return np.frombuffer(data, kind.dtype, 1)[0].item()


def _number_type(code, *unused):
  if not isinstance(code, str) or code.lstrip('<|=')[:1] not in 'fiub':
    raise pickle.UnpicklingError(f'a number of type {code!r}')
  return _NumberType(np.dtype(code))


def _allowed() -> dict[tuple[str, str], Any]:
  """Returns (module, name) -> its stand-in, for all that a pickle may name."""
  allowed = {
    ('torch._utils', '_rebuild_tensor'): _Function(_rebuild),
    ('torch._utils', '_rebuild_tensor_v2'): _Function(_rebuild),
    ('torch._utils', '_rebuild_parameter'): _Function(lambda x, *unused: x),
    ('numpy.core.multiarray', 'scalar'): _Function(_number),
    ('numpy._core.multiarray', 'scalar'): _Function(_number),
    ('numpy', 'dtype'): _Function(_number_type),
    ('_codecs', 'encode'): _Function(lambda x, *unused: x.encode('latin1')),
    ('collections', 'OrderedDict'): _Dict,
    ('collections', 'defaultdict'): _DefaultDict,
    ('torch', 'Size'): tuple,
    ('torch', 'device'): _Inert,
    ('argparse', 'Namespace'): _Inert,
  }
  plain = (bool, int, float, complex, str, list, tuple, dict, set, frozenset)
  for kind in plain:
    for module in ('builtins', '__builtin__'):  # The latter in Python 2.
      allowed[module, kind.__name__] = kind
  for module in ('torch', 'torch.storage', 'torch.cuda'):
    for name, dtype in DTYPES.items():
      allowed[module, f'{name}Storage'] = _Type(dtype)
      allowed[module, dtype.name] = _Type(dtype)
  return allowed


_ALLOWED = _allowed()


class _Unpickler(pickle.Unpickler):
  """Reads a pickle; whatever it may not name is refused by name."""

  def __init__(self, file, find_storage):
    super().__init__(file, encoding='utf-8')
    self._find_storage = find_storage

  def find_class(self, module, name):
    if (module, name) in _ALLOWED:
      return _ALLOWED[module, name]
    raise errors.UserError(
      f'its pickle asks for {module}.{name}; expected tensors, numbers, strings'
      ' and containers only, so nothing of it was run'
    )

  def persistent_load(self, pid):
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != 'storage':
      what = pid[0] if isinstance(pid, tuple) and pid else pid
      raise errors.UserError(
        f'its pickle holds a {what!s:.40}; expected tensors only'
      )
    _, kind, key, _, size, *view = pid
    if self._find_storage is None or not isinstance(kind, _Type):
      raise pickle.UnpicklingError('a storage out of place')
    return self._find_storage(
      str(key), kind.dtype, int(size), view[0] if view else None
    )


def load(
  file: BinaryIO, *, find_storage: Callable[..., Storage] | None = None
) -> Any:
  """Reads one pickle, from the file's position on.

  Args:
    file: binary file; its position is left at the end of the pickle.
    find_storage: function of key, dtype, size and view (or None) that returns
      the storage; None if no tensor may be named.

  Returns:
    Containers, numbers, strings and `Tensor`s.

  Raises:
    UserError: it names something that it may not.
    pickle.UnpicklingError: it is not a pickle, or is a damaged one.
  """
  try:
    return _Unpickler(file, find_storage).load()
  except (errors.UserError, pickle.UnpicklingError):
    raise
  except Exception as e:
    # A damaged pickle fails in as many ways as there are opcodes.
    raise pickle.UnpicklingError(f'{type(e).__name__}: {e}') from e


def is_state_dict(tree: Any) -> bool:
  """Returns whether a tree is a non-empty mapping of strings to tensors."""
  if not isinstance(tree, dict) or not tree:
    return False
  pairs = tree.items()
  return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in pairs)
