"""Exported networks give what the original gives, without this package."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.export import exporting
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.weights import converted
from jaxuda.weights import runs
from tests.weights import official

SIZE = (32, 48)
# What a machine without this package and without Flax would say.
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


@pytest.mark.parametrize(('fit', 'columns'), [('stretch', 6), ('pad', 2)])
def test_a_picture_is_framed_as_in_training(
  fit, columns, monkeypatch, tmp_path
):
  """A network that says in which eight columns a pixel is."""
  path = pathlib.Path(exporting.__file__).parent / 'runners/picture.py'
  spec = importlib.util.spec_from_file_location('picture', path)
  runner = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(runner)
  info = {'size': [32, 48], 'fit': fit, 'colors': [[0, 0, 0]] * 6}
  (tmp_path / 'export.json').write_text(json.dumps(info))
  seen = []

  def network(image):
    seen.append(image)
    return {'label': np.tile(np.arange(48, dtype=np.uint8) // 8, (1, 32, 1))}

  monkeypatch.setattr(runner, 'FOLDER', tmp_path)
  # 40 high, 20 wide: 32x16 in 32x48.
  Image.new('RGB', (20, 40), (255, 255, 255)).save(tmp_path / 'white.png')
  out = tmp_path / 'label.png'
  monkeypatch.setattr(sys, 'argv', ['', str(tmp_path / 'white.png'), str(out)])
  runner.main(lambda folder: network)
  (image,) = seen
  assert image.shape == (1, 32, 48, 3)
  assert (image[0] == 255).all((0, 2)).sum() == (16 if fit == 'pad' else 48)
  with Image.open(out) as label:
    expected = ((np.arange(20) + 0.5) * columns / 20).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(label), np.tile(expected, (40, 1)))


def test_what_is_beside_it(run, exported):
  folder, _ = exported
  info = json.loads((folder / 'export.json').read_text())
  assert (info['size'], info['fit']) == (list(SIZE), 'stretch')
  assert len(info['classes']) == len(info['colors']) == 19
  with np.load(folder / 'weights.npz') as file:
    assert 'params/backbone/conv1/kernel' in file.files
  with pytest.raises(errors.UserError, match='expected some of stablehlo'):
    exporting.export(run, folder, formats=('onnx',))
  with pytest.raises(errors.UserError, match='is a file'):
    exporting.export(run, folder / 'export.json')


def test_size():
  assert exporting.read_size('32x48') == (32, 48)
  assert exporting.read_size(None) is None
  for text in ('32', '0x4', 'axb', '4x5x6'):
    with pytest.raises(errors.UserError, match='expected HEIGHTxWIDTH'):
      exporting.read_size(text)
