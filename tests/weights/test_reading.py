"""Files that PyTorch itself wrote, and files that are not what they seem.

torch_zip.pth and torch_legacy.pth are PyTorch 2.15's: under 'model' views of
x = arange(24) as a 4x6 matrix, under 'ema_model' x + 1; in addition an
optimizer's state, an argparse.Namespace, a NumPy number and a device.
"""

import contextlib
import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from jaxuda import errors
from jaxuda.weights import reading
from jaxuda.weights import unpickle
from tests.weights import official

HERE = pathlib.Path(__file__).parent
KINDS = ('zip', 'legacy')


@pytest.mark.parametrize('kind', KINDS)
def test_what_torch_wrote(kind):
  file = reading.read(HERE / f'torch_{kind}.pth')
  assert file.kind == kind
  assert set(file.networks) == {'model', 'ema_model'}
  assert file.other == (
    *('optimizer', 'config', 'args', 'best', 'device', 'iteration'),
  )
  x = np.arange(24, dtype=np.float32).reshape(4, 6)
  expected = {
    'whole': x,
    'turned': x.T,
    'part': x[1:3, 2:5],
    'half': (x[0] / 4).astype(np.float16),
    'bf': x[1] / 2,
    'count': np.array(7),
    'parameter': x[:1],
  }
  arrays = file.arrays('student')
  assert list(arrays) == list(expected)
  for key, value in expected.items():
    assert arrays[key].shape == value.shape, key
    np.testing.assert_array_equal(arrays[key].astype(value.dtype), value)
  assert arrays['half'].dtype == np.float16
  assert arrays['count'].dtype == np.int64
  np.testing.assert_array_equal(file.arrays('teacher')['whole'], x + 1)
  with pytest.raises(errors.UserError, match='no disc; expected one of stud'):
    file.arrays('disc')


def test_safetensors(tmp_path):
  path = tmp_path / 'a.safetensors'
  arrays = {
    'model.a': np.arange(3, dtype=np.float32),
    'ema_model.a': np.ones(3, np.float32),
  }
  safetensors_numpy.save_file(arrays, path)
  file = reading.read(path)
  np.testing.assert_array_equal(file.arrays('student')['a'], [0, 1, 2])
  np.testing.assert_array_equal(file.arrays('teacher')['a'], 1)
  safetensors_numpy.save_file({'model.1.weight': np.ones(1)}, path)
  assert list(reading.read(path).arrays()) == ['model.1.weight']


class _Evil:
  """Leaves a file behind if it is executed."""

  def __init__(self, trace):
    self.trace = trace

  def __reduce__(self):
    return os.mkdir, (str(self.trace),)


def _zip(path, pickled, **others):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickled)
    for name, data in others.items():
      archive.writestr(f'archive/{name}', data)


def _legacy(path, pickled):
  head = (reading._MAGIC, 1001, {'little_endian': True})
  data = b''.join(pickle.dumps(x, 2) for x in head)
  path.write_bytes(data + pickled + pickle.dumps([], 2))


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('write', [_zip, _legacy])
def test_nothing_is_executed(tmp_path, write, protocol):
  path, trace = tmp_path / 'a.pth', tmp_path / 'trace'
  write(path, pickle.dumps({'model': _Evil(trace)}, protocol))
  with pytest.raises(errors.UserError, match=r'asks for \w+\.mkdir') as e:
    reading.read(path)
  assert '\n' not in str(e.value)
  assert not trace.exists()


@pytest.mark.parametrize(
  'name',
  [
    *('builtins\neval', 'builtins\ngetattr', 'builtins\n__import__'),
    *('os\nsystem', 'posix\nsystem', 'subprocess\nPopen', 'nt\nsystem'),
    *('torch\nload', 'torch.hub\nload', 'numpy\nload', 'torch\nTensor'),
    *('collections\nOrderedDict.pop', 'operator\nattrgetter'),
  ],
)
def test_names_are_refused(name):
  # Globals that are not called are rejected, too.
  code = b'\x80\x02c' + name.encode() + b'\n.'
  with pytest.raises(errors.UserError, match=name.replace('\n', '.')):
    unpickle.load(io.BytesIO(code))


@pytest.mark.parametrize(
  'name',
  ['torch._utils\n_rebuild_tensor_v2', 'torch\nFloatStorage', 'torch\ndevice'],
)
def test_what_may_be_named_cannot_be_changed(name):
  # BUILD with a state: (None, {'_call': 1}) would set an attribute.
  code = (
    b'\x80\x02c' + name.encode() + b'\nN}X\x05\x00\x00\x00_callK\x01s\x86b.'
  )
  with pytest.raises(pickle.UnpicklingError):
    unpickle.load(io.BytesIO(code))


@pytest.mark.parametrize('kind', [unpickle.Storage, unpickle.Tensor])
def test_what_a_pickle_made_cannot_be_changed(kind):
  with pytest.raises(pickle.UnpicklingError, match='has no state'):
    kind.__new__(kind).__setstate__((None, {'size': 1}))


def test_a_tensor_stays_inside_its_storage():
  storage = unpickle.Storage(np.dtype('<f4'), 4, lambda: bytes(16))
  inside = unpickle.Tensor(storage, 1, (3,), (1,))
  np.testing.assert_array_equal(inside.array(), 0)
  for offset, shape, strides in (
    (2, (3,), (1,)),
    (-1, (3,), (1,)),
    (0, (3,), (-1,)),
    (0, (1 << 40,), (0,)),
    (0, (-3,), (1,)),
  ):
    with pytest.raises(ValueError, match='beyond its storage'):
      unpickle.Tensor(storage, offset, shape, strides).array()


@pytest.mark.parametrize('kind', KINDS)
def test_cut_short(tmp_path, kind):
  """Wherever a file ends too early, it is one line."""
  data = (HERE / f'torch_{kind}.pth').read_bytes()
  path = tmp_path / 'a.pth'
  for end in range(20, len(data) - 1, 97):
    path.write_bytes(data[:end])
    with pytest.raises(errors.UserError, match='damaged or cut short') as e:
      reading.read(path).arrays('student')
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('kind', KINDS)
def test_damaged(tmp_path, kind):
  """A wrong byte anywhere is an error of ours or goes unnoticed."""
  data = bytearray((HERE / f'torch_{kind}.pth').read_bytes())
  path = tmp_path / 'a.pth'
  for place in range(0, len(data), 53):
    broken = bytearray(data)
    broken[place] ^= 0xFF
    path.write_bytes(broken)
    with contextlib.suppress(errors.UserError):
      reading.read(path).arrays('student')


def test_other_files(tmp_path):
  path = tmp_path / 'a.pth'
  for data, message in (
    (b'<!DOCTYPE html>\n<html>', r"not a checkpoint \(it begins with '<!DOCT"),
    (b'version https://git-lfs.github.com', 'not a checkpoint'),
    (b'', 'not a checkpoint'),
    (pickle.dumps({'a': 1}, 2), 'a pickle, but not of torch.save'),
    (b'\x02\0\0\0\0\0\0\0{}', 'holds no tensor'),
    (b'\xff\0\0\0\0\0\0\0{}', 'damaged'),
  ):
    path.write_bytes(data)
    with pytest.raises(errors.UserError, match=message):
      reading.read(path)
  with pytest.raises(errors.UserError, match='no file'):
    reading.read(tmp_path / 'none.pth')
  _zip(path, pickle.dumps({'epoch': 3, 'best': 0.5}, 2))
  with pytest.raises(errors.UserError, match='it holds epoch, best; expected'):
    reading.read(path)
  _zip(path, pickle.dumps([1], 2))
  with pytest.raises(errors.UserError, match='it holds a list'):
    reading.read(path)
  _zip(path, b'', **{'constants.pkl': b''})
  with pytest.raises(errors.UserError, match='TorchScript'):
    reading.read(path)
  _zip(path, b'', byteorder=b'big')
  with pytest.raises(errors.UserError, match='big-endian'):
    reading.read(path)


def _tensors(value, *, shape=(2, 3, 1, 1)):
  return {'conv1.weight': np.full(shape, value, np.float32)}


@pytest.mark.parametrize(
  ('first', 'second'),
  [
    ('state_dict', 'model'),
    ('ema', 'model'),
    ('ema_model', 'model'),
    ('student', 'teacher'),
    ('net_a', 'averaged'),  # By their content, whatever their names.
  ],
)
@pytest.mark.parametrize('suffix', ['pth', 'safetensors', 'inner'])
def test_two_networks(tmp_path, first, second, suffix):
  """In either order the error names both, and the flag to choose one."""
  if suffix != 'pth' and first == 'net_a':
    pytest.skip('names of their own are entries, not parts of keys')
  for names in ((first, second), (second, first)):
    tree = {x: _tensors(1 + (x == second)) for x in names}
    path = tmp_path / f'a.{suffix}'
    if suffix == 'pth':
      official.save({**tree, 'epoch': 3}, path, 'zip')
    else:
      flat = {f'{x}.{k}': v for x, y in tree.items() for k, v in y.items()}
      if suffix == 'safetensors':
        safetensors_numpy.save_file(flat, path)
      else:
        official.save({'checkpoint': flat, 'epoch': 3}, path, 'legacy')
    file = reading.read(path)
    one, other = sorted(names)
    with pytest.raises(errors.UserError) as e:
      file.arrays()
    assert str(e.value).startswith(
      f'{path} holds 2 networks, {one} and {other}; expected --network={one} or'
      f' --network={other} ('
    )
    for name in names:
      value = file.arrays(name)['conv1.weight']
      np.testing.assert_array_equal(value, 1 + (name == second))


def test_what_is_no_second_network(tmp_path):
  """Discriminators, prototypes, an optimizer's state: named, not read."""
  path = tmp_path / 'a.pth'
  tree = {
    'optimizer': {'state': {0: _tensors(0)}, 'param_groups': []},
    'd_main': {'module.0.weight': np.ones((4, 2, 4, 4), np.float32)},
    'prototypes': {'road': np.ones(3, np.float32)},
    'weights_of_net': _tensors(5),
  }
  official.save(tree, path, 'zip')
  file = reading.read(path)
  assert file.entry() == 'weights_of_net'
  assert file.other == ('optimizer', 'prototypes')
  assert set(file.networks) == {'d_main', 'weights_of_net'}
  # Under the names of Lightning.
  flat = {'model.conv1.weight': np.ones(1), 'loss.weight': np.ones(1)}
  safetensors_numpy.save_file(flat, tmp_path / 'a.safetensors')
  file = reading.read(tmp_path / 'a.safetensors')
  assert list(file.arrays()) == ['conv1.weight']
  assert file.other == ('loss',)
