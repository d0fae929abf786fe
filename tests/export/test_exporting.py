"""Exported networks agree with the original, without this package."""

import dataclasses
import datetime
import errno
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.export import exporting
from jaxuda.models import deeplab
from jaxuda.predict import prediction
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import panels
from jaxuda.weights import converted
from jaxuda.weights import runs
from tests import tiny
from tests.weights import official

SIZE = (32, 48)
# The result on a machine without this package and without Flax.
_BARE = """
import sys
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in {refused!r}:
      raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {folder!r})
import numpy as np
import {runner} as runner
out = runner.load()(np.load({images!r}))
np.savez({out!r}, **{{k: np.asarray(v) for k, v in out.items()}})
sys.argv = ['', {picture!r}, {label!r}]
runner.picture.main(runner.load)
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> workdir_lib.Run:
  path = tmp_path_factory.mktemp('weights') / 'a.pth'
  official.save(official.fill(official.dada(classes=19)), path, 'zip')
  config = command.read_config('dada:pair=streets')
  return runs.from_weights(converted.read(path), config, report=str)


@pytest.fixture(scope='module')
def exported(run, tmp_path_factory):
  folder = tmp_path_factory.mktemp('exported')
  exporting.export(run, folder, size=SIZE)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
  np.save(folder / 'images.npy', images)
  Image.fromarray(images[0]).resize((31, 17)).save(folder / 'picture.png')
  return folder, images


@pytest.mark.parametrize(
  ('name', 'refused'),
  [
    ('stablehlo', ('jaxuda', 'flax', 'tensorflow', 'optax', 'orbax')),
    ('savedmodel', ('jaxuda', 'flax', 'jax', 'jaxlib')),
  ],
)
def test_the_same_numbers_elsewhere(run, exported, name, refused):
  folder, images = exported
  out, label = folder / f'{name}.npz', folder / f'{name}.png'
  code = _BARE.format(
    refused=refused,
    folder=str(folder),
    runner=f'run_{name}',
    images=str(folder / 'images.npy'),
    out=str(out),
    picture=str(folder / 'picture.png'),
    label=str(label),
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=folder)
  expected = jax.jit(run.method.predict)(run.state, images)
  with np.load(out) as found:
    for field in ('logits', 'depth'):
      value = np.asarray(expected[field], np.float64)
      error = np.linalg.norm(found[field] - value) / np.linalg.norm(value)
      assert error < 1e-4, field
    assert found['label'].dtype == np.uint8
    same = found['label'] == np.argmax(expected['logits'], -1)
    assert same.mean() > 0.999
  with Image.open(label) as picture:
    assert (picture.size, picture.mode) == ((31, 17), 'P')


def _runner(folder, info, monkeypatch):
  """Imports the scripts' module as if it were next to an export.json."""
  path = pathlib.Path(exporting.__file__).parent / 'runners/picture.py'
  spec = importlib.util.spec_from_file_location('picture', path)
  runner = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(runner)
  (folder / 'export.json').write_text(json.dumps(info))
  monkeypatch.setattr(runner, 'FOLDER', folder)
  return runner


@pytest.mark.parametrize(
  # DeepLab's upsampling has aligned corners, DAFormer's half-pixel centres.
  ('resize', 'decoder'),
  [('bicubic', 'aspp'), ('bilinear', 'daformer')],
)
@pytest.mark.parametrize('fit', ['stretch', 'pad'])
@pytest.mark.parametrize(
  'name', ['small.png', 'large.jpg', 'deep.png', 'damaged.png', 'turned.tif']
)
def test_a_picture_is_labelled_as_predict_does(
  fit, resize, decoder, name, monkeypatch, tmp_path
):
  """With a network whose labels depend on every pixel, and EXIF tags."""
  rng = np.random.default_rng(3)
  if name == 'deep.png':
    values = rng.integers(0, 65536, (50, 90), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / name)
  else:
    shape = (90, 66, 3) if name == 'large.jpg' else (21, 23, 3)
    picture = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
    if name == 'turned.tif':
      picture = picture.convert('L')
    exif = picture.getexif()
    exif[0x0112] = 6  # A quarter turn.
    if name == 'damaged.png':
      exif = b'Exif\0\0garbage!!'
    picture.save(tmp_path / name, exif=exif)
  method = _Bright(network=deeplab.Options(decoder=decoder))
  config = tiny.make_config()
  config.data.target.size = (32, 48)
  config.data.target.update(fit=fit, image_resize=resize)
  config.num_classes = method.num_classes
  config.classes = 'cityscapes19'
  run = workdir_lib.Run(config=config, method=method, state=None, step=0)
  image = panels.read_image(tmp_path / name)
  expected = prediction.predict_labels(image, run)
  info = {'size': [32, 48], 'fit': fit, 'image_resize': resize}
  info['colors'] = [[0, 0, 0]] * 6
  info['align_corners'] = decoder == 'aspp'
  runner = _runner(tmp_path, info, monkeypatch)
  out = str(tmp_path / 'label.png')
  monkeypatch.setattr(sys, 'argv', ['', str(tmp_path / name), out])
  runner.main(
    lambda folder: lambda x: {'grid': method.predict(None, x)['logits']}
  )
  assert len(np.unique(expected)) == 3
  with Image.open(out) as label:
    np.testing.assert_array_equal(np.asarray(label), expected)


def test_a_picture_is_shrunk_as_opencv_does(monkeypatch, tmp_path):
  """INTER_LINEAR uses two pixels per side, Pillow's filter more."""
  runner = _runner(tmp_path, {}, monkeypatch)
  image = np.random.default_rng(5).integers(0, 256, (7, 9, 3), np.uint8)
  found = runner.resized(Image.fromarray(image), (4, 3), 'linear')
  expected = cv2.resize(image, (4, 3), interpolation=cv2.INTER_LINEAR)
  np.testing.assert_allclose(
    np.asarray(found, int), expected.astype(int), atol=1
  )


@dataclasses.dataclass(frozen=True)
class _Bright:
  """Compares three pixels of each square of 4x4, a channel of each."""

  num_classes: int = 3
  network: deeplab.Options = deeplab.Options()

  def predict(self, unused_state, image, size='grid'):
    assert size == 'grid'
    maps = [image[:, i::4, i::4, i] for i in range(3)]
    return {'logits': jnp.stack(maps, -1).astype(jnp.float32)}


def test_what_is_beside_it(run, exported):
  folder, _ = exported
  info = json.loads((folder / 'export.json').read_text())
  assert (info['size'], info['fit']) == (list(SIZE), 'stretch')
  assert info['image_resize'] == run.config.data.target.image_resize
  assert info['align_corners'] is True
  made = datetime.datetime.fromisoformat(info['date'])
  assert abs(datetime.datetime.now(datetime.UTC) - made).total_seconds() < 3600
  low, high = info['calling_conventions']
  assert low <= info['calling_convention'] <= high
  assert len(info['classes']) == len(info['colors']) == 19
  with np.load(folder / 'weights.npz') as file:
    assert 'params/backbone/conv1/kernel' in file.files
  with pytest.raises(errors.UserError, match='expected some of stablehlo'):
    exporting.export(run, folder, formats=('onnx',))
  with pytest.raises(errors.UserError, match='is a file'):
    exporting.export(run, folder / 'export.json')


@pytest.mark.parametrize('name', ['stablehlo', 'savedmodel'])
def test_a_network_that_is_refused(exported, tmp_path, name):
  """The script says in one line how to repeat the export."""
  folder = tmp_path / 'old'
  shutil.copytree(exported[0], folder)
  info = json.loads((folder / 'export.json').read_text())
  info |= {'date': '2020-01-02', 'checkpoint': '/a/7', 'command': 'cd / && it'}
  (folder / 'export.json').write_text(json.dumps(info))
  code = 'import jax.export\n'
  if name == 'stablehlo':
    # A jax that has dropped the program's calling convention.
    field = 'minimum_supported_calling_convention_version'
    code += f'jax.export.{field} = 1000\n'
  else:
    (folder / 'savedmodel' / 'saved_model.pb').write_bytes(b'no model')
  code += f"import sys\nsys.path.insert(0, '.')\nimport run_{name} as runner\n"
  code += "sys.argv = ['', 'picture.png', 'out.png']\n"
  code += 'runner.picture.main(runner.load)'
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=folder, text=True, capture_output=True
  )
  assert done.returncode == 1
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith('error: ')
  assert ' of 2020-01-02 (jax ' in last
  assert last.endswith('export again from /a/7: cd / && it')
  assert 'Traceback' not in done.stderr
  assert not (folder / 'out.png').exists()


def test_the_command_that_makes_it_again(tmp_path):
  """The command in the folder gives the same program and weights."""
  official.save(official.fill(official.dacs()), tmp_path / 'a b.pth', 'zip')
  words = [sys.executable, '-m', 'jaxuda.export', 'a b.pth', '--to=out']
  words += ['--config=dacs:pair=streets', '--formats=stablehlo']
  words += ['--size=32x48', '--config.data.target.image_resize=bilinear']
  subprocess.run(words, check=True, cwd=tmp_path)
  folder = tmp_path / 'out'
  before = {p.name: p.read_bytes() for p in folder.iterdir()}
  info = json.loads(before['export.json'])
  assert info['checkpoint'] == str(tmp_path / 'a b.pth')
  assert info['image_resize'] == 'bilinear'
  shutil.rmtree(folder)
  path = (
    f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
  )
  subprocess.run(
    info['command'], shell=True, check=True, env={**os.environ, 'PATH': path}
  )
  after = {p.name: p.read_bytes() for p in folder.iterdir()}
  assert after.keys() == before.keys()
  assert after['network.stablehlo'] == before['network.stablehlo']
  assert after['run_stablehlo.py'] == before['run_stablehlo.py']
  again = json.loads(after['export.json'])
  assert {**again, 'date': ''} == {**info, 'date': ''}


def test_size():
  assert exporting.read_size('32x48') == (32, 48)
  assert exporting.read_size(None) is None
  for text in ('32', '0x4', 'axb', '4x5x6'):
    with pytest.raises(errors.UserError, match='expected HEIGHTxWIDTH'):
      exporting.read_size(text)


def test_an_earlier_export_is_removed(tmp_path):
  names = ('weights.npz', 'network.stablehlo', 'run_savedmodel.py', 'mine.txt')
  for name in names:
    (tmp_path / name).touch()
  (tmp_path / 'savedmodel').mkdir()
  exporting._remove_earlier(tmp_path)  # It is none.
  assert {x.name for x in tmp_path.iterdir()} == {*names, 'savedmodel'}
  (tmp_path / 'export.json').touch()
  exporting._remove_earlier(tmp_path)
  assert [x.name for x in tmp_path.iterdir()] == ['mine.txt']


@pytest.mark.parametrize('name', ['weights.npz', 'savedmodel', 'picture.py'])
def test_a_disk_that_fills_up(run, tmp_path, monkeypatch, name):
  import tensorflow as tf

  def save(module, path, signatures):
    (pathlib.Path(path) / 'variables').mkdir(parents=True)
    (pathlib.Path(path) / 'variables' / 'half').touch()
    if name == 'savedmodel':
      raise tf.errors.ResourceExhaustedError(None, None, 'No space left')

  def fill(path, *args, **unused):
    (args[0] if args else path).write_bytes(b'half')
    raise OSError(errno.ENOSPC, 'No space left')

  # Left by an export that was killed before its last file.
  (tmp_path / 'savedmodel').mkdir()
  for kept in ('savedmodel/saved_model.pb', 'mine.txt'):
    (tmp_path / kept).touch()
  monkeypatch.setattr(tf.saved_model, 'save', save)
  monkeypatch.setattr(np, 'savez', fill)
  if name == 'picture.py':
    monkeypatch.setattr(shutil, 'copy', fill)
  formats = ['stablehlo' if name == 'weights.npz' else 'savedmodel']
  message = rf'/{name} cannot be written: .*No space left'
  with pytest.raises(errors.UserError, match=message):
    exporting.export(run, tmp_path, formats=formats, size=SIZE)
  left = {'mine.txt'}
  if name == 'weights.npz':  # The other format was not requested.
    left.add('savedmodel')
  assert {x.name for x in tmp_path.iterdir()} == left


@pytest.mark.parametrize(
  ('dtype', 'value'), [(np.float32, 70000), (np.int32, 70000), (np.int32, 200)]
)
def test_the_scripts_name_what_they_cannot_read(
  dtype, value, tmp_path, monkeypatch
):
  Image.fromarray(np.full((9, 9), value, dtype)).save(tmp_path / 'a.tif')
  (tmp_path / 'b.png').write_bytes(b'no picture')
  Image.new('RGB', (9, 9)).save(tmp_path / 'c.bmp')
  cut = (tmp_path / 'c.bmp').read_bytes()[:-99]
  (tmp_path / 'c.bmp').write_bytes(cut)
  Image.new('RGB', (1, 99)).save(tmp_path / 'd.png')
  info = {'size': [32, 48], 'fit': 'pad'}
  runner = _runner(tmp_path, info, monkeypatch)
  for words, message in (
    (['a.tif', 'out.png'], 'a.tif has 32-bit pixels; expected 8 or 16 bits'),
    (['a.tif'], 'expected: run.py PICTURE OUT.png'),
    (['a.tif', 'out.jpg'], 'expected: run.py PICTURE OUT.png'),
    (['none.png', 'out.png'], 'error: none.png cannot be read: '),
    (['b.png', 'out.png'], 'error: b.png cannot be read: '),
    (['c.bmp', 'out.png'], 'error: c.bmp cannot be read: '),
    (['d.png', 'out.png'], 'error: d.png: 1x99 pixels are too narrow'),
  ):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['run.py', *words])
    with pytest.raises(SystemExit) as found:
      runner.main(lambda folder: None)
    assert found.value.code.startswith(message)


def test_the_scripts_name_what_they_cannot_write(tmp_path, monkeypatch):
  Image.new('RGB', (9, 9)).save(tmp_path / 'a.png')
  info = {'size': [4, 4], 'fit': 'stretch', 'image_resize': 'bicubic'}
  info.update(align_corners=False, colors=[[0, 0, 0]])
  runner = _runner(tmp_path, info, monkeypatch)
  out = str(tmp_path / 'none' / 'out.png')
  monkeypatch.setattr(sys, 'argv', ['', str(tmp_path / 'a.png'), out])
  with pytest.raises(SystemExit) as found:
    runner.main(lambda folder: lambda x: {'grid': np.zeros((1, 2, 2, 3))})
  assert found.value.code.startswith(f'error: {out} cannot be written: ')
