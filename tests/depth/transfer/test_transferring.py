import functools
import json
import types

import cv2
import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.files import depth_folder
from jaxuda.data.records import rows
from jaxuda.depth import formats
from jaxuda.depth.transfer import __main__ as transfer
from jaxuda.depth.transfer import transferring
from jaxuda.ops import depth as depth_ops
from jaxuda.run import workdir as workdir_lib
from jaxuda.train import segmentation
from jaxuda.ui import command
from tests import tiny


class Bright:
  """Predicts an inverse depth of b + 1 for a pixel of brightness b."""

  def __init__(self):
    self.seen = 0

  def __hash__(self):
    return 1

  def predict(self, state, image):
    del state
    self.seen += 1
    return {'depth': depth_ops.restore_depth(image[..., 0] + 1.0)}


class Images:
  """Two pictures of constant brightness, of different sizes."""

  def __init__(self, level=255):
    self.level = level

  def __len__(self):
    return 2

  def read(self, number):
    size, level = ((20, 30), 9) if number else ((16, 16), self.level)
    return f'part/{number}', np.full((*size, 3), level, np.uint8)


def write(out, images=None, **description):
  predict = functools.partial(
    transferring.predict_depth, Bright(), {}, size=(8, 16)
  )
  return transferring.write_depths(
    predict, images or Images(), out, description=description
  )


def read(out, name):
  return cv2.imread(str(out / f'{name}.png'), cv2.IMREAD_UNCHANGED)


def test_depth_by_hand(tmp_path):
  assert write(tmp_path, run=1) == 2
  # 655.36 / 256 - 0.01 = 2.55 m and 655.36 / 10 - 0.01 = 65.526 m.
  for name, shape, raw in (('0', (16, 16), 255), ('1', (20, 30), 6553)):
    depth = read(tmp_path / 'part', name)
    assert (depth.shape, depth.dtype) == (shape, np.uint16)
    assert set(np.unique(depth)) == {raw}
  folder = depth_folder.DepthFolder(tmp_path, split='train')
  assert folder.find('part/0') == tmp_path / 'part' / '0.png'


@pytest.mark.parametrize(('fit', 'last'), [('stretch', 16), ('pad', 8)])
def test_padding_is_no_part_of_the_depth(fit, last):
  """The network predicts an inverse depth of 1 in the first column, then 2."""

  class Columns(Bright):
    def predict(self, state, image):
      del state
      columns = np.arange(1.0, 1 + image.shape[2])
      shape = image.shape[:3]
      return {'depth': depth_ops.restore_depth(np.broadcast_to(columns, shape))}

  image = np.zeros((16, 16, 3), np.uint8)
  depth = transferring.predict_depth(
    Columns(), {}, image, size=(8, 16), fit=fit
  )
  inverse = np.asarray(depth_ops.invert_depth(depth))
  # Inverse depth is resized, between the centres of the pixels.
  places = (np.arange(16) + 0.5) * last / 16 - 0.5
  expected = np.interp(places, np.arange(last), np.arange(1.0, last + 1))
  np.testing.assert_allclose(inverse, np.tile(expected, (16, 1)), rtol=1e-4)


def test_what_is_there_stays_unless_it_is_of_another_network(tmp_path):
  write(tmp_path, run=1)
  (tmp_path / 'part/0.png').unlink()
  assert write(tmp_path, run=1) == 1
  assert write(tmp_path, run=1) == 0
  assert write(tmp_path, run=2) == 2
  assert json.loads((tmp_path / 'depth.json').read_text())['run'] == 2


def test_maps_of_other_images_of_these_names_are_made_anew(tmp_path):
  write(tmp_path, run=1)
  assert write(tmp_path, Images(level=3), run=1) == 1
  assert read(tmp_path / 'part', '0')[0, 0] == 16383
  assert write(tmp_path, Images(level=3), run=1) == 0
  # Earlier versions did not say of which image a map is.
  raw = np.zeros((16, 16), np.uint16)
  formats.write_png16(tmp_path / 'part/0.png', raw)
  assert write(tmp_path, Images(), run=1) == 0


def test_a_network_of_the_framework_is_read(tmp_path):
  config, method = tiny.make_config(), tiny.Method()
  state = method.init(
    jax.random.key(0), {'source': {'depth': np.zeros((1, 8, 16))}}
  )
  depth = transferring.predict_depth(
    method,
    state,
    np.zeros((11, 13, 3), np.uint8),
    size=tuple(config.data.target.size),
  )
  np.testing.assert_allclose(depth, np.full((11, 13), 20), rtol=1e-5)


def test_far_is_none():
  raw = formats.encode_metres(np.array([0, 0.004, 1.234, 655.34, 655.35, 1e9]))
  assert raw.tolist() == [1, 1, 123, 65534, 65535, 65535]


def test_the_depth_loss_is_switched_on():
  config = command.read_config('source_only:pair=streets2camvid')
  transferring.set_depth_loss(config)
  assert config.method.lambda_depth == 1e-2
  config.method.lambda_depth = 0.5
  transferring.set_depth_loss(config)
  assert config.method.lambda_depth == 0.5
  config = command.read_config('source_only:pair=synthia2cityscapes')
  transferring.set_depth_loss(config)
  assert config.method.lambda_depth == 1e-3
  with pytest.raises(errors.UserError, match="'dada'; expected source_only"):
    transferring.set_depth_loss(command.read_config('dada'))


def test_a_file_is_no_folder(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='is a file'):
    write(tmp_path / 'file')


def test_pictures_of_others_are_not_removed(tmp_path):
  (tmp_path / 'a.png').write_bytes(b'mine')
  with pytest.raises(errors.UserError, match='holds pictures but no depth'):
    write(tmp_path, run=1)
  assert (tmp_path / 'a.png').read_bytes() == b'mine'


def test_a_stop_in_the_last_evaluation_writes_no_maps(tmp_path, monkeypatch):
  config = command.read_config('source_only:pair=streets2camvid')
  # All steps are taken, but they have no scores.
  state = types.SimpleNamespace(step=config.stop_step)
  run, out, written = tmp_path / 'run', tmp_path / 'out', []
  monkeypatch.setattr(
    transfer.flags,
    'FLAGS',
    types.SimpleNamespace(workdir=str(run), out=str(out)),
  )
  monkeypatch.setattr(rows, 'Images', lambda *_, **unused: Images())
  monkeypatch.setattr(segmentation, 'train', lambda *_: state)
  monkeypatch.setattr(transfer.parallel, 'local', lambda x: x)

  def write_depths(predict, images, out, *, description):
    del predict, images, out
    written.append(description['checkpoint_step'])
    return 2

  monkeypatch.setattr(transferring, 'write_depths', write_depths)
  transfer._main(config)
  assert not written
  scores = {'last': {'checkpoint_step': config.stop_step}}
  workdir_lib.write_json(run / 'scores.json', scores)
  transfer._main(config)
  assert written == [config.stop_step]
