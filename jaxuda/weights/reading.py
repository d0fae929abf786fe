"""Files of weights as arrays by name: PyTorch's two formats and safetensors.

PyTorch 1.6 and newer write a zip archive: `NAME/data.pkl` with the structure
and `NAME/data/KEY` with the bytes of each storage. Older ones wrote a series of
pickles (magic number, version, system, structure, storage keys) and then the
storages one after another, each preceded by its number of elements.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import hashlib
import os
import pathlib
import pickle
import zipfile

import numpy as np
import safetensors

from jaxuda import errors
from jaxuda.weights import unpickle

_MAGIC = 0x1950A86A20F9469CFC6C
# Usual names of a checkpoint's entry -> the role of the network in it.
ROLES = {
  **dict.fromkeys(
    ('model', 'model_state_dict', 'state_dict', 'student', 'net', 'network'),
    'student',
  ),
  **dict.fromkeys(
    (
      *('ema_model', 'ema', 'model_ema', 'ema_state_dict', 'teacher'),
      'network_ema',
    ),
    'teacher',
  ),
  **dict.fromkeys(('disc', 'disc_state_dict', 'discriminator'), 'disc'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
  """A file of weights.

  Attributes:
    path: location of the file.
    kind: 'zip', 'legacy' or 'safetensors'.
    networks: entry of the file ('model', 'ema_model') -> key -> a function that
      reads the array; a network that is the file itself is the entry ''.
    other: names of the file's other entries, which are not read.
  """

  path: pathlib.Path
  kind: str
  networks: Mapping[str, Mapping[str, Callable[[], np.ndarray]]]
  other: tuple[str, ...] = ()

  @property
  def wrapped(self) -> bool:
    """Whether the networks are entries of a training checkpoint."""
    return '' not in self.networks

  def entry(self, network: str = '') -> str:
    """Returns the entry that holds a network.

    Args:
      network: an entry, or a role ('student', 'teacher', 'disc'); '' for the
        only one there is, not counting discriminators.

    Raises:
      UserError: there is none, or more than one.
    """
    names = sorted(self.networks)
    if network in names:
      return network
    if network:
      found = [x for x in names if role(x) == network]
    else:
      found = [x for x in names if not self._judges(x)] or names
    if len(found) == 1:
      return found[0]
    flags = ' or '.join(f'--network={x}' for x in found)
    if found:
      raise errors.UserError(
        f'{self.path} holds {len(found)} networks, {" and ".join(found)};'
        f' expected {flags} (--config.initial takes the folder that'
        ' python -m jaxuda.convert makes with it)'
      )
    known = dict.fromkeys([*sorted(map(role, names)), *names])
    raise errors.UserError(
      f'{self.path} holds no {network}; expected one of'
      f' {", ".join(x for x in known if x)}'
    )

  def _judges(self, entry):
    keys = self.networks[entry]
    return role(entry) == 'disc' or bool(
      {'0.weight', 'module.0.weight'} & {*keys}
    )

  def arrays(self, network: str = '') -> dict[str, np.ndarray]:
    """Reads all arrays of a network, see `entry`.

    Raises:
      UserError: the file has no such network, or is damaged.
    """
    entry = self.entry(network)
    try:
      return {key: read() for key, read in self.networks[entry].items()}
    except Exception as e:
      raise _damaged(self.path, e) from e

  def digest(self) -> str:
    """Returns the file's SHA-256, whose start is in PyTorch's hub names."""
    return digest(self.path)


def digest(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file in hexadecimal digits."""
  with path.open('rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()


def role(entry: str) -> str:
  """Returns the role of an entry: its own name if that is not a usual one."""
  return ROLES.get(entry, entry or 'student')


def read(path: str | os.PathLike) -> File:
  """Reads the structure of a file; arrays are read when they are asked for.

  Args:
    path: a .pth, .pt, .pkl or .safetensors file; the content decides.

  Raises:
    UserError: there is no such file, or it is not a checkpoint, is damaged, or
      has a pickle that asks for more than tensors and plain containers.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.UserError(f'no file {path}; expected a file of weights')
  with path.open('rb') as f:
    head = f.read(16)
  try:
    if head[:4] == b'PK\x03\x04':
      return _from_tree(path, 'zip', _read_zip(path))
    if path.suffix == '.safetensors' or head[8:9] == b'{':
      return _read_safetensors(path)
    if head[:1] == b'\x80':
      return _from_tree(path, 'legacy', _read_legacy(path))
  except errors.UserError as e:
    raise errors.UserError(f'{path} was not read: {e}') from e
  except Exception as e:
    # A damaged archive fails in as many ways as it has fields.
    raise _damaged(path, e) from e
  what = head.split(b'\n')[0].decode('ascii', 'replace')
  what = ''.join(c if c.isprintable() else '?' for c in what)
  raise errors.UserError(
    f'{path} is not a checkpoint (it begins with {what!r}); expected the zip or'
    ' the legacy format of PyTorch, or safetensors'
  )


def _damaged(path, e):
  what = ' '.join(f'{type(e).__name__}: {e}'.split())
  return errors.UserError(
    f'{path} is damaged or cut short ({what}); expected a complete checkpoint'
  )


def _read_zip(path):
  archive = zipfile.ZipFile(path)
  names = archive.namelist()
  found = [n for n in names if n.rpartition('/')[2] == 'data.pkl']
  if len(found) != 1:
    raise errors.UserError(
      f'a zip archive with {len(found)} data.pkl; expected one'
    )
  folder = found[0].removesuffix('data.pkl')
  if f'{folder}constants.pkl' in names:
    raise errors.UserError(
      'it is a TorchScript program; expected a state dict (torch.save)'
    )
  order = f'{folder}byteorder'
  if order in names and archive.read(order).strip() != b'little':
    raise errors.UserError('it is big-endian; expected little-endian')

  def find(key, dtype, size, view):
    if view is not None:
      raise pickle.UnpicklingError('a view in a zip archive')
    name = f'{folder}data/{key}'
    if archive.getinfo(name).file_size < size * dtype.itemsize:
      raise ValueError(f'{name} is too short')
    return unpickle.Storage(dtype, size, lambda: archive.read(name))

  with archive.open(found[0]) as f:
    return unpickle.load(f, find_storage=find)


def _read_legacy(path):
  kinds: dict[str, tuple[np.dtype, int]] = {}
  data: dict[str, memoryview] = {}

  def find(key, dtype, size, view):
    # In old files a storage may be a view, a part of another one.
    kinds.setdefault(key, (dtype, size))
    _, first, count = (key, 0, size) if view is None else view
    if not 0 <= first <= first + count <= size:
      raise ValueError('a view reaches beyond its storage')
    part = slice(first * dtype.itemsize, (first + count) * dtype.itemsize)
    return unpickle.Storage(dtype, count, lambda: data[key][part])

  with path.open('rb') as f:
    if unpickle.load(f) != _MAGIC:
      raise errors.UserError(
        'it is a pickle, but not of torch.save; expected a state dict'
      )
    unpickle.load(f)  # The version, 1001 in all files.
    system = unpickle.load(f)
    if isinstance(system, dict) and not system.get('little_endian', True):
      raise errors.UserError('it is big-endian; expected little-endian')
    tree = unpickle.load(f, find_storage=find)
    keys = unpickle.load(f)
    rest = memoryview(f.read())
  for key in map(str, keys):
    dtype, size = kinds[key]
    count = int.from_bytes(rest[:8], 'little', signed=True)
    end = 8 + size * dtype.itemsize
    data[key], rest = rest[8:end], rest[end:]
    if count != size or len(data[key]) != end - 8:
      raise ValueError(f'storage {key} is cut short')
  if kinds.keys() != data.keys():
    raise ValueError(f'storage {min(kinds.keys() - data.keys())} is missing')
  return tree


def _from_tree(path, kind, tree) -> File:
  """Finds the networks in an unpickled tree."""
  if unpickle.is_state_dict(tree):
    return _split(path, kind, {key: x.array for key, x in tree.items()})
  if not isinstance(tree, dict):
    raise errors.UserError(
      f'it holds a {type(tree).__name__.strip("_")}; expected a state dict'
    )
  networks, other = {}, []
  for key, value in tree.items():
    if unpickle.is_state_dict(value) and (
      key in ROLES or any(len(x.shape) == 4 for x in value.values())
    ):
      networks[str(key)] = {k: x.array for k, x in value.items()}
    else:
      other.append(str(key))
  if not networks:
    raise errors.UserError(
      f'it holds {", ".join(map(str, list(tree)[:6])) or "nothing"}; expected a'
      ' state dict, or one under model, state_dict or another name'
    )
  if len(networks) == 1 and (inner := _split_keys(*networks.values())):
    networks, more = inner
    other += more
  return File(path=path, kind=kind, networks=networks, other=tuple(other))


def _split(path, kind, readers) -> File:
  """A flat state dict, or several with the names of entries before the keys."""
  networks, other = _split_keys(readers) or ({'': readers}, [])
  return File(path=path, kind=kind, networks=networks, other=tuple(other))


def _split_keys(readers):
  """Returns the networks and other entries of keys like 'model.conv1.weight'.

  None if the keys are those of one network.
  """
  trees: dict[str, dict[str, Callable[[], np.ndarray]]] = {}
  for key, reader in readers.items():
    head, _, rest = key.partition('.')
    trees.setdefault(head, {})[rest] = reader
  networks = {head: x for head, x in trees.items() if head in ROLES}
  # In a CycleGAN's 'model.1.weight' it is the name of a list of layers.
  if not networks or any(k[:1].isdigit() for x in networks.values() for k in x):
    return None
  return networks, [head for head in trees if head not in networks]


def _read_safetensors(path) -> File:
  file = safetensors.safe_open(path, framework='numpy')
  keys = file.keys()
  if not keys:
    raise errors.UserError('it holds no tensor; expected a state dict')
  readers = {key: functools.partial(file.get_tensor, key) for key in keys}
  return _split(path, 'safetensors', readers)
