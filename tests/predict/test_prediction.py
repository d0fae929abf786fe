import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import labels
from jaxuda.data.pixels import resizing
from jaxuda.evaluate import views
from jaxuda.ops import resize
from jaxuda.predict import prediction
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import panels
from jaxuda.ui import video
from tests import tiny


@pytest.fixture(name='run')
def _run():
  config, method = tiny.make_config(), tiny.Method()
  state = method.init(*workdir_lib.init_args(config, method))
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


@pytest.fixture(name='folder')
def _folder(tmp_path):
  folder = tmp_path / 'images'
  rng = np.random.default_rng(0)
  for name, size in {
    'a.png': (8, 16),
    'b.jpg': (21, 33),
    'sub/b.bmp': (40, 20),
  }.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(image).save(path)
  (folder / 'readme.txt').write_text('not a picture')
  return folder


def test_at_the_network_size_labels_are_the_argmax(run):
  rng = np.random.default_rng(1)
  image, _ = tiny.make_images(rng, 1, (8, 16))
  label = prediction.predict_labels(image[0], run)
  logits = run.method.predict(run.state, image)['logits']
  np.testing.assert_array_equal(label, np.asarray(logits)[0].argmax(-1))
  assert label.dtype == np.uint8


def test_any_size_and_the_network_is_compiled_once(run, monkeypatch):
  sizes = []
  real = tiny.Method.predict

  def counted(self, state, image, *, size=None):
    sizes.append(image.shape)
    return real(self, state, image, size=size)

  monkeypatch.setattr(tiny.Method, 'predict', counted)
  views.grid_logits.clear_cache()
  for size in ((8, 16), (30, 50), (5, 3), (1, 1)):
    image = np.full((*size, 3), 200, np.uint8)
    assert prediction.predict_labels(image, run).shape == size
  # A row on each device.
  assert sizes == [(2, 8, 16, 3)]


def test_folder_becomes_ids_and_indexed_colors(run, folder, tmp_path):
  out = tmp_path / 'out'
  assert prediction.run_folder(run, folder, out) == []
  for source, name in (('b.jpg', 'b.png'), ('sub/b.bmp', 'sub/b.png')):
    expected = prediction.predict_labels(
      panels.read_image(folder / source), run
    )
    with Image.open(out / 'ids' / name) as image:
      assert image.mode == 'L'
      np.testing.assert_array_equal(np.asarray(image), expected)
    with Image.open(out / 'colors' / name) as image:
      assert image.mode == 'P'
      np.testing.assert_array_equal(np.asarray(image), expected)
      colors = labels.CLASS_SETS['coarse7'].colors
      np.testing.assert_array_equal(
        np.asarray(image.convert('RGB')), colors[expected]
      )


def test_unreadable_pictures_are_skipped_and_named(
  run, folder, tmp_path, capfd
):
  (folder / 'broken.png').write_bytes(b'nothing')
  (folder / 'phone.HEIC').write_bytes(b'\0\0\0\x18ftypheic')
  jpeg = (folder / 'b.jpg').read_bytes()
  (folder / 'cut.jpg').write_bytes(jpeg[: len(jpeg) // 2])
  bad = prediction.run_folder(run, folder, tmp_path / 'out')
  assert [x.split(':')[0] for x in bad] == [
    f'{folder}/{name} is not a readable picture'
    for name in ('broken.png', 'cut.jpg', 'phone.HEIC')
  ]
  assert len(list((tmp_path / 'out' / 'ids').rglob('*.png'))) == 3
  err = capfd.readouterr().err
  for line in bad:
    assert f'skipped: {line}' in err
  assert 'predict: 6/6 images' in err


def test_batches_give_what_single_pictures_do(run, folder, tmp_path):
  paths = [folder / name for name in ('a.png', 'b.jpg', 'sub/b.bmp')]
  images = [panels.read_image(path) for path in paths]
  # Only part of the second batch.
  pairs = list(prediction.label_images(iter(images), run, batch_size=2))
  assert len(pairs) == 3
  for image, (same, label) in zip(images, pairs, strict=True):
    assert same is image
    np.testing.assert_array_equal(label, prediction.predict_labels(image, run))
  assert (
    prediction.run_folder(run, folder, tmp_path / 'out', batch_size=2) == []
  )
  with Image.open(tmp_path / 'out/ids/sub/b.png') as written:
    np.testing.assert_array_equal(np.asarray(written), pairs[2][1])


def test_all_devices_give_what_one_does_in_order(run):
  rng = np.random.default_rng(3)
  images = [
    rng.integers(0, 256, (5 + i % 3, 9, 3), dtype=np.uint8) for i in range(7)
  ]
  found = list(prediction.label_images(images, run, confidence=True))
  with tiny.one_device():
    alone = list(prediction.label_images(images, run, confidence=True))
  assert len(found) == len(alone) == 7
  for image, ours, theirs in zip(images, found, alone, strict=True):
    assert ours[0] is theirs[0] is image
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-6)


def test_another_type_of_number():
  config = command.read_config('source_only:pair=streets,classes=coarse7')
  config.network.backbone = 'resnet_tiny'
  method = methods.create(config)
  run = workdir_lib.Run(config=config, method=method, state=None, step=0)
  other = prediction.computing_in(run, 'bfloat16')
  assert other.method.network.dtype == 'bfloat16'
  assert run.config.network.dtype == run.method.network.dtype == 'float32'
  with pytest.raises(errors.UserError, match=r'network\.dtype'):
    prediction.computing_in(run, 'float16')


def test_labels_are_those_that_are_scored():
  """Logits at an eighth of the size are upsampled once, not in two steps."""
  config = command.read_config('source_only:pair=streets,classes=coarse7')
  config.network.backbone = 'resnet_tiny'
  config.data.target.size = (40, 56)
  method = methods.create(config)
  state = jax.jit(method.init)(*workdir_lib.init_args(config, method))
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
  # Without its bias, so that one image has several classes.
  net = state.nets['task']
  mean = method.predict(state, image[None])['logits'].mean((0, 1, 2))
  head = {**net.params['layer6']}
  head['conv0_bias'] -= mean
  params = {**net.params, 'layer6': head}
  state = state.replace(nets={'task': net.replace(params=params)})
  run = workdir_lib.Run(config=config, method=method, state=state, step=0)
  large = np.asarray(Image.fromarray(image).resize((140, 100)))
  small = resizing.resize_image(large, (40, 56))
  for size, shown in (((40, 56), image), ((100, 140), large)):
    seen = image if shown is image else small
    scored = method.predict(state, seen[None], size=size)['logits']
    label = prediction.predict_labels(shown, run)
    np.testing.assert_array_equal(label, np.asarray(scored[0]).argmax(-1))
  steps = method.predict(state, small[None])['logits']
  steps = resize.resize_align_corners(steps, (100, 140))
  assert (np.asarray(steps[0]).argmax(-1) != label).any()


def test_padding_is_no_part_of_the_label(run):
  """The network sees single pixels, 8x16 of them, and keeps the aspect."""
  run.config.data.target.fit = 'pad'
  rng = np.random.default_rng(2)
  for shape in ((8, 5), (3, 16)):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    logits = run.method.predict(run.state, image[None])['logits'][0]
    for look in (views.Views(), views.Views(window=True, flip=True)):
      label = prediction.predict_labels(image, run, views=look)
      np.testing.assert_array_equal(label, np.asarray(logits).argmax(-1))
  # As in an evaluation: shrunk to 8x5, padded, scored as 16x32.
  image = rng.integers(0, 256, (16, 10, 3), dtype=np.uint8)
  small = np.zeros((1, 8, 16, 3), np.uint8)
  small[0, :, :5] = resizing.resize_image(image, (8, 5))
  logits = run.method.predict(run.state, small, size=(16, 32))['logits'][0]
  label = prediction.predict_labels(image, run)
  np.testing.assert_array_equal(label, np.asarray(logits).argmax(-1)[:, :10])


def test_out_is_a_file(run, folder, tmp_path):
  (tmp_path / 'out').write_text('')
  with pytest.raises(errors.UserError, match='out is a file'):
    prediction.run_folder(run, folder, tmp_path / 'out')


@pytest.mark.parametrize(
  ('images', 'message'),
  [('images', 'nowhere/config.json is missing'), ('none', 'no folder ')],
)
def test_command_fails_in_one_line(folder, tmp_path, images, message):
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'jaxuda.predict',
      '--workdir=nowhere',
      f'--images={tmp_path / images}',
      f'--out={tmp_path / "out"}',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert message in line


def test_needs_no_tensorflow():
  code = 'import sys, jaxuda.predict; sys.exit("tensorflow" in sys.modules)'
  subprocess.run([sys.executable, '-c', code], check=True)


def test_views_and_a_video(run, folder, tmp_path):
  image = panels.read_image(folder / 'b.jpg')
  # Every pixel is seen by itself: pieces change nothing at full resolution.
  full = np.asarray(run.method.predict(run.state, image[None])['logits'][0])
  label = prediction.predict_labels(image, run, views=views.Views(window=True))
  assert label.dtype == np.uint8
  np.testing.assert_array_equal(label, full.argmax(-1))
  out = tmp_path / 'out.mp4'
  assert prediction.run_video(run, folder, out) == (3, [])
  assert [x.shape for x in video.read_video(out)] == [(8, 16, 3)] * 3


def test_bad_pictures_do_not_end_a_run(run, folder, tmp_path, capfd):
  Image.new('1', (20000, 10000)).save(folder / 'bomb.png')
  (folder / 'gone.jpg').symlink_to('nowhere')
  (folder / '._a.png').write_bytes(b'resource fork')
  (tmp_path / 'far').mkdir()
  Image.new('RGB', (9, 5)).save(tmp_path / 'far' / 'f.png')
  (folder / 'linked').symlink_to(tmp_path / 'far')
  (folder / 'linked' / 'loop').symlink_to(folder)
  bad = prediction.run_folder(run, folder, tmp_path / 'out', batch_size=2)
  assert [x.split()[0] for x in bad] == [
    str(folder / x) for x in ('bomb.png', 'gone.jpg')
  ]
  ids = tmp_path / 'out' / 'ids'
  assert sorted(str(x.relative_to(ids)) for x in ids.rglob('*.png')) == [
    *('a.png', 'b.png', 'linked/f.png', 'sub/b.png')
  ]
  err = capfd.readouterr().err
  assert 'note: not pictures by their suffix: 1: readme.txt' in err
  assert 'skipped: ' + bad[0] in err
  assert 'predict: 6/6 images' in err


def test_pictures_of_one_name_have_each_their_labels(run, tmp_path, capfd):
  folder = tmp_path / 'images'
  folder.mkdir()
  for i, name in enumerate(('x.jpg', 'x.jpg.png', 'x.png')):
    Image.new('RGB', (5 + i, 4)).save(folder / name)
  assert prediction.run_folder(run, folder, tmp_path / 'out') == []
  for i, name in enumerate(('x.jpg.png', 'x.jpg.png.png', 'x.png.png')):
    with Image.open(tmp_path / 'out' / 'ids' / name) as image:
      assert image.size == (5 + i, 4)
  assert 'note: outputs whose names' in capfd.readouterr().err


def test_results_are_not_labelled(run, folder, tmp_path):
  (tmp_path / 'way').symlink_to(folder)
  for out in (folder, folder / 'out', tmp_path / 'way' / 'out'):
    with pytest.raises(errors.UserError, match=r'lies in .*images, where'):
      prediction.run_folder(run, folder, out)
  prediction.check_paths(folder, tmp_path)
  prediction.run_folder(run, folder, tmp_path / 'out')
  with pytest.raises(errors.UserError, match='out/ids lies in'):
    prediction.check_paths(tmp_path / 'out' / 'ids', tmp_path / 'out')
  path = tmp_path / 'A.MP4'
  prediction.run_video(run, folder, path)
  with pytest.raises(errors.UserError, match=r'A\.MP4 is the input; expected'):
    prediction.run_video(run, path, path)
  with pytest.raises(
    errors.UserError, match=r'is a video; expected --out=NAME'
  ):
    prediction.check_paths(path, tmp_path / 'out')


def test_confidence_is_the_largest_mean_probability(run, folder, tmp_path):
  path = folder / 'a.png'  # Of the network's size: 8x16.
  image = panels.read_image(path)
  logits = np.asarray(run.method.predict(run.state, image[None])['logits'])[0]
  once = np.asarray(jax.nn.softmax(logits))
  for look, expected in (
    (views.ONCE, once),
    # Every pixel is seen on its own, so mirroring changes nothing.
    (views.Views(flip=True), once),
  ):
    options = {'views': look, 'confidence': True}
    ((_, label, share),) = prediction.label_images([image], run, **options)
    np.testing.assert_array_equal(label, expected.argmax(-1))
    np.testing.assert_allclose(share, expected.max(-1), rtol=1e-5)
    out = tmp_path / str(look.flip)
    assert prediction.run_folder(run, folder, out, **options) == []
    with Image.open(out / 'confidence' / 'a.png') as written:
      assert written.mode == 'L'
      level = np.asarray(written).astype(int)
    assert np.abs(level - 255 * expected.max(-1)).max() <= 0.501
    assert len(list((out / 'confidence').rglob('*.png'))) == 3
  # For several views it is the largest of the mean, not the mean of them.
  look = views.Views(scales=(0.5, 1))
  mean = views.mean_probabilities(
    image, run.state, method=run.method, size=(8, 16), views=look
  )
  options = {'views': look, 'confidence': True}
  ((_, _, share),) = prediction.label_images([image], run, **options)
  np.testing.assert_allclose(share, mean.max(-1), rtol=1e-6)


def test_large_pictures_are_labelled_in_bands(run, monkeypatch):
  rng = np.random.default_rng(4)
  image = rng.integers(0, 256, (50, 31, 3)).astype(np.uint8)
  label_all = lambda: next(
    prediction.label_images([image], run, confidence=True)
  )
  _, label, share = label_all()
  monkeypatch.setattr(prediction, '_LOGITS', 7 * 31 * 7)  # Seven rows.
  prediction._label.clear_cache()
  _, banded, banded_share = label_all()
  prediction._label.clear_cache()
  np.testing.assert_array_equal(banded, label)
  np.testing.assert_allclose(banded_share, share, rtol=1e-6)


def test_too_narrow_for_a_network_that_keeps_the_aspect(run, tmp_path):
  run.config.data.target.fit = 'pad'
  Image.new('RGB', (1, 5000)).save(tmp_path / 'thin.png')
  Image.new('RGB', (5, 5)).save(tmp_path / 'x.png')
  (line,) = prediction.run_folder(run, tmp_path, tmp_path.parent / 'narrow')
  assert line.startswith(f'{tmp_path}/thin.png: 1x5000 pixels are too narrow')


def test_a_cut_video_is_written_as_far_as_it_goes(run, folder, tmp_path):
  path, out = tmp_path / 'a.avi', tmp_path / 'out.avi'
  prediction.run_video(run, folder, path)
  whole = path.read_bytes()
  # The third frame is the last chunk before the index.
  path.write_bytes(whole[: whole.rindex(b'00dc', 0, whole.rindex(b'idx1'))])
  count, (line,) = prediction.run_video(run, path, out)
  assert count == 2
  assert 'promises 3 frames, and 2 could be read' in line
  assert len(list(video.read_video(out))) == 2
  (folder / 'broken.png').write_bytes(b'nothing')
  count, (line,) = prediction.run_video(run, folder, out)
  assert count == 3
  assert line == f'{folder}/broken.png is not a readable picture'
  for name in ('a.png', 'b.jpg', 'sub/b.bmp'):
    (folder / name).unlink()
  out.unlink()
  with pytest.raises(errors.UserError, match=r'nothing to write: .*broken'):
    prediction.run_video(run, folder, out)
  assert not out.exists()


def test_a_video_that_cannot_be_written_is_told_before_anything(
  folder, tmp_path
):
  (tmp_path / 'taken.mp4').mkdir()
  with pytest.raises(errors.UserError, match=r'taken\.mp4 is a folder; exp'):
    prediction.check_paths(folder, tmp_path / 'taken.mp4')
  with pytest.raises(
    errors.UserError, match=r'a\.png is a file; expected a fo'
  ):
    prediction.check_paths(folder, folder / 'a.png' / 'x.mp4')
  assert prediction.check_paths(folder, tmp_path / 'new' / 'x.mp4') is None
