import os
import pathlib
import subprocess
import sys

import pytest

from jaxuda import errors
from jaxuda.data.prepare import __main__ as prepare
from jaxuda.data.store import examples
from tests.data import releases


def run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda.data.prepare', *arguments],
    cwd=pathlib.Path(__file__).parents[3],
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )


def test_command(tmp_path):
  releases.synthia(tmp_path / 'raw')
  done = run(
    '--dataset=synthia',
    f'--manual_dir={tmp_path}/raw',
    f'--data_dir={tmp_path}/tfds',
    '--store=png',
    '--size=8x12',
  )
  assert done.returncode == 0, done.stderr
  assert 'train: 3 images' in done.stdout
  assert 'fields: image, label, depth' in done.stdout
  folder = pathlib.Path(done.stdout.splitlines()[-1])
  assert folder.parent.name.startswith('plain_png_8x12_bicubic_')
  assert (folder / 'dataset_info.json').is_file()


def test_size():
  assert prepare.read_size('512x1024') == (512, 1024)
  for text in ('', '512', '0x3', '512x1024x3'):
    with pytest.raises(errors.UserError, match='expected HEIGHTxWIDTH'):
      prepare.read_size(text)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'form': 'webp'}, 'expected one of raw, png, jpeg'),
    ({'form': 'png'}, 'png needs a size'),
    ({'image_resize': 'area'}, 'expected one of bicubic, bilinear'),
    ({'fit': 'crop'}, 'expected one of stretch, pad'),
  ],
)
def test_store_is_checked(fields, message):
  with pytest.raises(errors.UserError, match=message):
    examples.Store(**fields)
