"""Depth from a tiny Depth Anything with random weights, and its numbers."""

import dataclasses
import json
import subprocess
import sys

import cv2
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data.files import depth_folder
from jaxuda.data.pixels import depth_codes
from jaxuda.depth import formats
from jaxuda.depth import maps
from jaxuda.depth.foundation import coding
from jaxuda.depth.foundation import estimation
from jaxuda.ops import depth as depth_ops
from jaxuda.weights import writing
from tests.models import foundation as golden

SIDE = 28


@pytest.fixture(scope='module', name='weights')
def _weights(tmp_path_factory):
  """Writes a folder like the hub's, metric up to 80 metres."""
  folder = tmp_path_factory.mktemp('hub')
  arrays = {k: x.astype('f4') for k, x in golden.state_dict('depth').items()}
  writing.write(folder / 'model.safetensors', {'': arrays})
  tree = {
    'model_type': 'depth_anything',
    'depth_estimation_type': 'metric',
    'max_depth': 80,
    'backbone_config': {'out_indices': [1, 2, 3, 4]},
  }
  (folder / 'config.json').write_text(json.dumps(tree))
  return folder


@pytest.fixture(scope='module', name='metric')
def _metric(weights):
  return estimation.load(weights, side=SIDE)


@pytest.fixture(scope='module', name='relative')
def _relative(weights):
  file = weights / 'model.safetensors'
  return estimation.load(file, family='depth_anything_v2', side=SIDE)


def save_images(folder):
  generator = np.random.default_rng(0)
  for name, size in (
    ('a.png', (28, 40)),
    ('train/b_leftImg8bit.jpg', (30, 42)),
  ):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = generator.integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(picture).save(path)
  return folder


def write(network, images, out, aligned=None):
  def predict(image):
    quantiles = aligned and aligned['quantiles']
    said = network.predict(image)
    return coding.encode(said, metric=network.metric, quantiles=quantiles)

  description = coding.describe(network, aligned=aligned)
  return maps.write(predict, images, out, description=description)


def read(out, name):
  """Returns the metres of an example, as training reads them."""
  folder = depth_folder.DepthFolder(out, split='train')
  metres, valid = depth_codes.measure(folder.read(name), folder.code)
  return metres.numpy(), valid.numpy()


@pytest.mark.parametrize(
  ('image', 'expected'),
  [
    ((1024, 2048), (518, 1036)),
    ((2048, 1024), (1036, 518)),
    # 518 / 375 * 1242 = 1715.6, and 122.5 patches.
    ((375, 1242), (518, 1722)),
    ((518, 519), (518, 518)),
    ((10, 10), (518, 518)),
  ],
)
def test_sizes_for_the_network(image, expected):
  assert estimation.network_size(image, 518) == expected


def test_a_metric_network_is_read_in_metres(metric, tmp_path):
  images = maps.Folder(save_images(tmp_path / 'in'))
  out = tmp_path / 'out'
  assert write(metric, images, out) == 2
  tree = json.loads((out / 'depth.json').read_text())
  assert (tree['kind'], tree['depth_unit']) == ('metric', 0.01)
  assert tree['network'].endswith('metric, up to 80 m')
  for number, name in enumerate(('a', 'b')):
    _, image = images.read(number)
    metres, valid = read(out, name)
    said = metric.predict(image)
    assert said.shape == image.shape[:2]
    assert said.std() > 1
    assert valid.all()
    np.testing.assert_allclose(metres, said, atol=0.0051)
  # Existing maps stay; those of another network are rewritten.
  (out / 'a.png').unlink()
  assert write(metric, images, out) == 1
  assert write(dataclasses.replace(metric, side=42), images, out) == 2


def test_maps_of_another_dtype_are_made_anew(weights, metric, tmp_path):
  images = maps.Folder(save_images(tmp_path / 'in'))
  out = tmp_path / 'out'
  short = estimation.load(weights, side=SIDE, dtype='bfloat16')
  assert write(short, images, out) == 2
  assert write(short, images, out) == 0
  assert json.loads((out / 'depth.json').read_text())['dtype'] == 'bfloat16'
  assert write(metric, images, out) == 2
  # As earlier versions wrote it, whose maps stay.
  assert 'dtype' not in json.loads((out / 'depth.json').read_text())
  assert write(metric, images, out) == 0


def test_the_network_sees_what_the_golden_one_does(relative):
  """Images of the network's own size are neither resized nor cropped."""
  image = np.random.default_rng(1).integers(0, 256, (28, 42, 3), np.uint8)
  mean = np.array([123.675, 116.28, 103.53])
  normalized = (image - mean) / (255 * np.array([0.229, 0.224, 0.225]))
  expected = relative.module.apply(
    relative.variables, normalized[None].astype('f4')
  )[0]
  np.testing.assert_allclose(relative.predict(image), expected, atol=1e-5)


def test_a_relative_network_has_no_unit(relative, tmp_path):
  images = maps.Folder(save_images(tmp_path / 'in'))
  out = tmp_path / 'out'
  assert write(relative, images, out) == 2
  tree = json.loads((out / 'depth.json').read_text())
  assert (tree['kind'], tree['depth_code']) == ('relative', 'inverse')
  assert 'without a unit' in tree['meaning']
  raw = cv2.imread(str(out / 'a.png'), cv2.IMREAD_UNCHANGED)
  said = relative.predict(images.read(0)[1])
  expected = np.maximum(65535 * said / said.max(), 1)
  np.testing.assert_allclose(raw, expected, atol=0.51)
  # As CorDA reads monocular depth: z = raw / 256 + 1.
  metres, valid = read(out, 'a')
  assert valid.all()
  inverse = np.asarray(depth_ops.invert_depth(metres))
  np.testing.assert_allclose(inverse, raw / 256 + 1, rtol=1e-4)


def test_codes_by_hand():
  said = np.array([[0.0, 1, 2]], np.float32)
  assert coding.encode(said, metric=True).tolist() == [[1, 100, 200]]
  assert coding.encode(said, metric=False).tolist() == [[1, 32768, 65535]]
  # Far everywhere, which is not the same as unknown.
  assert coding.encode(0 * said, metric=False).tolist() == [[1, 1, 1]]


def test_alignment_finds_factor_and_shift():
  z = np.random.default_rng(0).uniform(2, 200, (40, 60))
  quantiles = np.quantile(z, coding.QUANTILES)
  metres = coding.align((z - 30) / 7, quantiles)
  np.testing.assert_allclose(metres, 655.36 / z - 0.01, rtol=1e-4)
  # Of what is alike everywhere nothing can be said but the middle.
  flat = coding.align(np.ones((2, 2)), quantiles)
  np.testing.assert_allclose(flat, 655.36 / quantiles.mean() - 0.01, rtol=1e-4)
  # Values beyond infinity or behind the camera are at the end of the range.
  ends = coding.align(np.array([[-1e6, *range(98), 1e6]]), np.arange(1.0, 20))
  assert ends[0, 0] == pytest.approx(655.35, rel=1e-5)
  assert ends[0, -1] == 0


def test_alignment_to_a_dataset(relative, tmp_path):
  small = 'streets/source_32x64_train4_val2'
  aligned = coding.measure(small, data_dir=str(tmp_path / 'tfds'))
  assert np.all(np.diff(aligned['quantiles']) >= 0)
  assert 1 <= aligned['quantiles'][0] <= aligned['quantiles'][-1] < 656
  images = maps.Folder(save_images(tmp_path / 'in'))
  write(relative, images, tmp_path / 'out', aligned)
  tree = json.loads((tmp_path / 'out/depth.json').read_text())
  assert (tree['kind'], tree['depth_code']) == ('relative', 'metres')
  assert tree['aligned']['dataset'] == small
  assert 'by a guess' in tree['meaning']
  metres, _ = read(tmp_path / 'out', 'b')
  expected = coding.align(
    relative.predict(images.read(1)[1]), np.array(aligned['quantiles'])
  )
  np.testing.assert_allclose(metres, np.maximum(expected, 0.01), atol=0.0051)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'side': 30}, '--side=30; expected a multiple of 14'),
    ({'side': 0}, '--side=0; expected a multiple of 14'),
    ({'family': 'resnet'}, 'expected its config.json next to it, or --family'),
  ],
)
def test_mistakes(weights, tmp_path, options, message):
  file = tmp_path / 'model.safetensors'
  file.symlink_to(weights / 'model.safetensors')
  with pytest.raises(errors.UserError, match=message):
    estimation.load(file, **options)


def test_weights_of_others(tmp_path):
  arrays = {k: x.astype('f4') for k, x in golden.state_dict('dinov2').items()}
  writing.write(tmp_path / 'model.safetensors', {'': arrays})
  with pytest.raises(errors.UserError, match='is DINOv2 tiny; expected the'):
    estimation.load(tmp_path)


def test_pictures_of_others_stay(tmp_path):
  formats.write_png16(tmp_path / 'a.png', np.zeros((2, 2), np.uint16))
  with pytest.raises(errors.UserError, match=r'of jaxuda\.depth\.foundation'):
    maps.check_out(tmp_path, made_by=coding.MADE_BY)


def run_command(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda', 'depth', 'foundation', *arguments],
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_command(weights, tmp_path):
  images, out = save_images(tmp_path / 'in'), tmp_path / 'out'
  (images / 'notes.txt').touch()
  (images / 'broken.png').write_bytes(b'nothing')
  common = [f'--images={images}', f'--weights={weights}', f'--side={SIDE}']
  done = run_command(*common, f'--out={out}')
  assert done.returncode == 1
  first, *_ = done.stdout.splitlines()
  assert first.endswith('up to 80 m: metres, as the network says them')
  assert 'note: not pictures by their suffix: 1: notes.txt' in done.stderr
  assert 'images that could not be read: 1 of 3' in done.stderr
  assert sorted(x.name for x in out.rglob('*.*')) == [
    'a.png',
    'b_leftImg8bit.png',
    'depth.json',
  ]
  for more, message in (
    ([f'--out={out}', '--split=val'], '--split has no meaning without --align'),
    ([f'--out={out}', '--align=streets'], 'already predicts metres'),
  ):
    done = run_command(*common, *more)
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if 'note: ' not in x]
    assert message in line
