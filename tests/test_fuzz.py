"""Broken pictures, tables, archives, weights, flags: one line, or right data.

Each input is a valid one with some bytes changed, cut off or added. Reading it
may only raise a UserError of one line; if the format has checksums, data that
are read without an error must be those that were written. The environment
variable JAXUDA_FUZZ is the number of inputs of each kind.
"""

import io
import os
import tarfile
import zipfile

import numpy as np
from PIL import Image
import pytest
import safetensors.numpy

from jaxuda import errors
from jaxuda.data.datasets import folder as folder_lib
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import diagnosis
from jaxuda.data.files import decoding
from jaxuda.data.files import tree as tree_lib
from jaxuda.predict import prediction
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import panels
from jaxuda.weights import conversion
from jaxuda.weights import reading
from tests import tiny
from tests.data import releases

# As in the program; pytest turns warnings into errors.
pytestmark = pytest.mark.filterwarnings('ignore:.*:UserWarning:PIL')
COUNT = int(os.environ.get('JAXUDA_FUZZ', '40'))
HERE = os.path.dirname(__file__)
SHAPE = (12, 20)


def spoil(generator, data):
  """Returns the bytes with one to three faults."""
  data = bytearray(data)
  for _ in range(generator.integers(1, 4)):
    at = int(generator.integers(len(data) + 1))
    kind = generator.integers(5)
    if kind == 0 and at < len(data):
      data[at] ^= 1 << int(generator.integers(8))
    elif kind == 1:
      data = data[:at]
    elif kind == 2:
      data[at:at] = generator.bytes(int(generator.integers(1, 9)))
    elif kind == 3:
      data[at : at + int(generator.integers(1, 33))] = b''
    else:
      data[at : at + 4] = bytes(len(data[at : at + 4]))
  return bytes(data)


def attempt(read, *arguments, **options):
  """Returns (the data read, None), or (None, the line of the error)."""
  try:
    return read(*arguments, **options), None
  except errors.UserError as e:
    line = str(e)
  assert line.strip()
  assert '\n' not in line
  return None, line


def encode(array, form, **options):
  out = io.BytesIO()
  Image.fromarray(array).save(out, form, **options)
  return out.getvalue()


def picture(generator):
  return generator.integers(0, 256, (*SHAPE, 3), np.uint8)


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'PPM'])
def test_pictures(tmp_path, form):
  generator = np.random.default_rng(len(form))
  refused = 0
  for number in range(COUNT):
    image = picture(generator)
    data = spoil(generator, encode(image, form))
    path = tmp_path / f'{number}.{form.lower()}'
    path.write_bytes(data)
    for read, argument in (
      (lambda x: decoding.read_image(x, 'x'), data),
      (panels.read_image, path),
    ):
      found, line = attempt(read, argument)
      refused += found is None
      assert line or found.dtype == np.uint8
      if form == 'PNG' and line is None:
        # A changed file that passes its checksums has not lost a pixel.
        if found.shape == image.shape:
          np.testing.assert_array_equal(found, image)
  assert refused


def test_the_doctor_and_preparation(tmp_path):
  generator = np.random.default_rng(0)
  ids = np.repeat(np.arange(3, dtype=np.uint8), 4)[:, None].repeat(20, 1)
  depth = np.linspace(500, 9000, ids.size).reshape(ids.shape).astype(np.uint16)
  loud = 0
  for number in range(COUNT):
    root = tmp_path / str(number)
    for split in ('train', 'val'):
      for i in range(2):
        releases.write(root / f'images/{split}/{i}.png', picture(generator))
        releases.write(root / f'labels/{split}/{i}.png', ids)
        releases.write(root / f'depth/{split}/{i}.png', depth)
    table = 'classes: {a: 1, b: 2}\nignore: [0]\ndepth: {unit: 0.001}\n'
    (root / 'classes.yaml').write_text(table)
    files = sorted(x for x in root.rglob('*') if x.is_file())
    victim = files[generator.integers(len(files))]
    before = victim.read_bytes()
    victim.write_bytes(spoil(generator, before))
    report, line = attempt(diagnosis.diagnose, 'folder', manual_dir=str(root))
    problems = report.problems if report else [line]
    loud += bool(problems)
    # 'No problems' means that it can be prepared, and 'fatal' that it cannot.
    made, refusal = attempt(
      registry.load,
      'folder',
      data_dir=str(root / 'tfds'),
      manual_dir=str(root),
    )
    if report and not report.fatal:
      assert made is not None, (victim, refusal)
    if victim.suffix == '.png' and not problems:
      np.testing.assert_array_equal(
        decoding.decode_stored(victim.read_bytes()),
        decoding.decode_stored(before),
      )
  assert loud


def test_class_tables():
  generator = np.random.default_rng(1)
  text = (
    b'classes:\n  road: [1, 4]\n  "car": 7\n  sky: 010\n'
    b'colors: {road: "#00ff00"}\nignore: [0, 255]\n'
    b'depth: {code: disparity, factor: 2.5, missing: [0]}\n'
  )
  for _ in range(5 * COUNT):
    data = spoil(generator, text).decode('utf-8', 'replace')
    table, line = attempt(folder_lib.read_table, data, where='x.yaml')
    assert line or all(isinstance(x, int) or len(x) == 3 for x in table.codes)


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_archives(tmp_path, kind):
  generator = np.random.default_rng(2)
  members = {f'images/{i}.bin': generator.bytes(300) for i in range(4)}
  whole = tmp_path / f'whole.{kind}'
  if kind == 'zip':
    with zipfile.ZipFile(whole, 'w') as opened:
      for name, data in members.items():
        opened.writestr(name, data)
  else:
    with tarfile.open(whole, 'w:gz' if kind == 'tar.gz' else 'w') as opened:
      for name, data in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        opened.addfile(member, io.BytesIO(data))
  path = tmp_path / f'a.{kind}'
  for _ in range(COUNT):
    path.write_bytes(spoil(generator, whole.read_bytes()))
    tree, line = attempt(tree_lib.Tree, path, dataset='x')
    if line:
      continue
    for entry in tree.entries:
      assert '..' not in entry.split('/')
      data, line = attempt(tree.read, entry)
      if kind != 'tar' and line is None and entry in members:
        assert data == members[entry]


@pytest.mark.parametrize('kind', ['torch_zip.pth', 'torch_legacy.pth', 'st'])
def test_weights(tmp_path, kind):
  generator = np.random.default_rng(3)
  if kind == 'st':
    arrays = {f'layer{i}.weight': generator.random((3, 4)) for i in range(3)}
    whole = safetensors.numpy.save(arrays)
  else:
    with open(os.path.join(HERE, 'weights', kind), 'rb') as file:
      whole = file.read()
  path = tmp_path / ('a.safetensors' if kind == 'st' else 'a.pth')
  path.write_bytes(whole)
  file = reading.read(path)
  truth = {x: file.arrays(x) for x in file.networks}
  refused = 0
  for _ in range(COUNT):
    path.write_bytes(spoil(generator, whole))
    file, line = attempt(reading.read, path)
    refused += line is not None
    for entry in file.networks if file else ():
      arrays, line = attempt(file.arrays, entry)
      attempt(conversion.convert, file, network=entry)
      if line or kind != 'torch_zip.pth':
        continue
      # Each tensor of a zip archive has a checksum.
      for key, array in arrays.items():
        if key in truth.get(entry, {}):
          np.testing.assert_array_equal(array, truth[entry][key])
  assert refused


def test_pictures_to_label(tmp_path):
  config, method = tiny.make_config(), tiny.Method()
  state = method.init(*workdir_lib.init_args(config, method))
  run = workdir_lib.Run(config=config, method=method, state=state, step=0)
  generator = np.random.default_rng(4)
  forms = ('png', 'jpeg', 'bmp', 'tiff')
  for i in range(COUNT):
    form = forms[i % len(forms)]
    data = encode(picture(generator), form)
    path = tmp_path / 'in' / f'{i}.{form}'
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(spoil(generator, data) if i % 4 else data)
  bad = prediction.run_folder(run, tmp_path / 'in', tmp_path / 'out')
  written = list((tmp_path / 'out' / 'ids').glob('*.png'))
  assert len(written) + len(bad) == COUNT
  assert len(written) >= COUNT // 4


def test_flags():
  generator = np.random.default_rng(5)
  flags = (
    '--config.seed=3',
    '--config.data.source.size=(32, 64)',
    '--config.method.lambda_adv=0.1',
    '--config.network.remat=True',
    '--config.optim.name=sgd',
  )
  for i in range(2 * COUNT):
    flag = spoil(generator, flags[i % len(flags)].encode())
    text = flag.decode('utf-8', 'replace').replace('\0', '')
    config, line = attempt(command.read_config, 'dada:pair=streets', [text])
    assert line or config.name == 'dada'
