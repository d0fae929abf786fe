import os

import cv2
import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data.files import decoding
from jaxuda.ui import panels

COLORS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)


def test_labels_get_their_color_and_the_ignored_are_black():
  label = np.array([[0, 2], [255, 1]])
  colors = panels.color_labels(label, COLORS)
  expected = [[(255, 0, 0), (0, 0, 255)], [(0, 0, 0), (0, 255, 0)]]
  np.testing.assert_array_equal(colors, expected)
  assert colors.dtype == np.uint8


def test_nearer_is_brighter_and_the_invalid_is_black():
  depth = np.array([[1.0, 4.0, 8.0, 655.35]])
  near, same, middle, far = panels.color_depth(depth)[0].astype(int)
  np.testing.assert_array_equal(near, same)
  assert same.sum() > middle.sum() > far.sum()
  valid = np.array([[True, False, True, True]])
  assert not panels.color_depth(depth, valid=valid)[0, 1].any()


def test_self_information_by_hand():
  # p = (.7, .2, .1, 0): the sum of the maps .1801 + .2322 + .1661 + 0.
  p = np.array([0.7, 0.2, 0.1, 1e-30])
  assert panels.self_information(np.log(p)) == pytest.approx(0.5784, abs=1e-4)
  assert panels.self_information(np.zeros(4)) == pytest.approx(1)
  assert panels.self_information(np.array([1e4, 0])) == pytest.approx(0)


def test_information_grows_brighter():
  colors = panels.color_information(np.array([[0.0, 0.5, 1.0]]))
  total = colors[0].astype(int).sum(-1)
  assert total[0] < total[1] < total[2]


def test_panel_shows_every_column():
  image = np.full((2, 20, 90, 3), 7, np.uint8)
  label = np.zeros((2, 40, 180), np.int32)
  depth = np.full((2, 40, 180), 4.0, np.float32)
  logits = np.zeros((2, 20, 90, 3), np.float32)
  logits[..., 1] = 100
  batch = {'image': image, 'label': label}
  panel = panels.make_panel(batch, {'logits': logits}, colors=COLORS)
  assert panel.shape == (18 + 2 * 24, 4 * 94 - 4, 3)
  rows = slice(18, 38)
  np.testing.assert_array_equal(panel[rows, :90], image[0])
  np.testing.assert_array_equal(panel[rows, 94:184], image[0] * 0 + COLORS[0])
  np.testing.assert_array_equal(panel[rows, 188:278], image[0] * 0 + COLORS[1])
  batch.update(depth=depth, depth_valid=depth > 0)
  prediction = {'logits': logits, 'depth': depth[:, ::2, ::2]}
  panel = panels.make_panel(batch, prediction, colors=COLORS)
  assert panel.shape == (18 + 2 * 24, 6 * 94 - 4, 3)
  # Predicted and true depth are the same here.
  np.testing.assert_array_equal(panel[rows, 282:372], panel[rows, 376:466])


def test_panel_has_the_density_of_a_network_that_says_it():
  image = np.full((1, 20, 90, 3), 7, np.uint8)
  batch = {'image': image, 'label': np.zeros((1, 20, 90), np.int32)}
  density = np.full((1, 20, 90), 255.0)
  density[0, :, 30:] = 0
  density[0, :, 60:] = 100
  prediction = {'logits': np.zeros((1, 20, 90, 3)), 'density': density}
  panel = panels.make_panel(batch, prediction, colors=COLORS)
  assert panel.shape == (18 + 24, 5 * 94 - 4, 3)
  shown = [panel[25, 3 * 94 + x].tolist() for x in (10, 40, 70)]
  levels = np.array([[255, 0, 100]], np.uint8)
  expected = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)
  assert shown == expected[0, :, ::-1].tolist()


def test_training_panel_paints_by_kind():
  shown = {
    'image': {'mixed image': np.full((2, 40, 60, 3), 199.6)},
    'label': {'mixed label': np.full((2, 40, 60), 1)},
    'depth': {'source decoder': np.full((2, 40, 60), 4.0)},
    'share': {'weight': np.zeros((2, 40, 60))},
  }
  panel = panels.make_training_panel(shown, colors=COLORS)
  last = panel.shape[0] - 10
  cells = [panel[last, 64 * i + 30] for i in range(4)]
  np.testing.assert_array_equal(cells[0], [200] * 3)
  np.testing.assert_array_equal(cells[1], COLORS[1])
  near = panels.color_depth(np.full((1, 1), 4.0))[0, 0]
  np.testing.assert_array_equal(cells[2], near)
  none = panels.color_information(np.zeros((1, 1)))[0, 0]
  np.testing.assert_array_equal(cells[3], none)
  # A heading and two rows.
  assert panel.shape == (18 + 2 * 44, 4 * 64 - 4, 3)


def test_wide_panels_are_thinned_out():
  image = np.zeros((1, 40, 1281, 3), np.uint8)
  batch = {'image': image, 'label': image[..., 0]}
  logits = np.zeros((1, 40, 1281, 3), np.float32)
  panel = panels.make_panel(batch, {'logits': logits}, colors=COLORS)
  assert panel.shape == (18 + 14 + 4, 4 * 431 - 4, 3)


def test_legend_has_every_color():
  legend = panels.draw_legend(('a', 'b', 'c'), COLORS, width=260)
  assert legend.shape == (36, 260, 3)
  for color in COLORS:
    assert (legend == color).all(-1).any()


def test_the_legend_is_as_wide_as_the_widest_picture():
  pictures = [np.zeros((5, n, 3), np.uint8) for n in (100, 260)]
  stacked = panels.stack_with_legend(pictures, ('a', 'b', 'c'), COLORS)
  legend = panels.draw_legend(('a', 'b', 'c'), COLORS, width=260)
  np.testing.assert_array_equal(stacked[10:], legend)
  np.testing.assert_array_equal(stacked[5:10], pictures[1])


def test_stack_pads_with_white():
  stacked = panels.stack(
    [np.zeros((1, 2, 3), np.uint8), np.zeros((2, 1, 3), np.uint8)]
  )
  expected = [[0, 0], [0, 255], [0, 255]]
  np.testing.assert_array_equal(stacked[..., 0], expected)


def test_png_of_colors_and_of_ids(tmp_path):
  rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
  panels.write_png(tmp_path / 'a' / 'rgb.png', rgb)
  np.testing.assert_array_equal(
    panels.read_image(tmp_path / 'a' / 'rgb.png'), rgb
  )
  ids = np.array([[0, 1, 2, 255]], np.uint8)
  panels.write_png(tmp_path / 'ids.png', ids)
  panels.write_png(tmp_path / 'colors.png', ids, colors=COLORS)
  with Image.open(tmp_path / 'ids.png') as image:
    assert image.mode == 'L'
    np.testing.assert_array_equal(np.asarray(image), ids)
  with Image.open(tmp_path / 'colors.png') as image:
    assert image.mode == 'P'
    np.testing.assert_array_equal(np.asarray(image), ids)
    np.testing.assert_array_equal(
      np.asarray(image.convert('RGB')), panels.color_labels(ids, COLORS)
    )
  assert not list(tmp_path.rglob('*.part'))


@pytest.mark.parametrize('suffix', ['png', 'bmp', 'tiff', 'webp', 'ppm', 'gif'])
def test_reads_common_formats(tmp_path, suffix):
  rgb = np.zeros((5, 7, 3), np.uint8)
  rgb[2:, 3:] = (255, 0, 0)
  options = {'lossless': True} if suffix == 'webp' else {}
  Image.fromarray(rgb).save(tmp_path / f'a.{suffix}', **options)
  np.testing.assert_array_equal(
    panels.read_image(tmp_path / f'a.{suffix}'), rgb
  )


def test_reads_grey_transparent_16_bit_and_turned(tmp_path):
  grey = np.full((2, 3), 90, np.uint8)
  Image.fromarray(grey).save(tmp_path / 'grey.png')
  cv2.imwrite(str(tmp_path / 'deep.png'), grey.astype(np.uint16) * 257)
  rgba = np.dstack([grey, grey, grey, grey * 0])
  Image.fromarray(rgba).save(tmp_path / 'rgba.png')
  for name in ('grey', 'deep', 'rgba'):
    np.testing.assert_array_equal(
      panels.read_image(tmp_path / f'{name}.png'),
      np.repeat(grey[..., None], 3, -1),
    )
  exif = Image.Exif()
  exif[0x0112] = 6  # A quarter turn.
  Image.fromarray(grey).save(tmp_path / 'turned.jpg', exif=exif)
  assert panels.read_image(tmp_path / 'turned.jpg').shape == (3, 2, 3)


@pytest.mark.parametrize('mode', ['L', 'P', 'RGB', 'RGBA', 'LA'])
@pytest.mark.parametrize('tag', range(1, 9))
@pytest.mark.parametrize('suffix', ['tif', 'png', 'webp'])
def test_all_readers_turn_pictures_alike(tmp_path, mode, tag, suffix):
  steps = np.arange(24 * 40).reshape(24, 40) // 4
  image = Image.fromarray(steps.astype(np.uint8))
  path, exif = tmp_path / f'a.{suffix}', Image.Exif()
  exif[0x0112] = tag
  image.convert(mode).save(path, exif=exif, lossless=True)
  read = panels.read_image(path)
  assert read.shape == ((24, 40, 3) if tag < 5 else (40, 24, 3))
  np.testing.assert_array_equal(
    decoding.read_image(path.read_bytes(), 'a'), read
  )


@pytest.mark.parametrize('kind', ['empty', 'text', 'cut'])
def test_unreadable_pictures_are_named(tmp_path, kind):
  path = tmp_path / 'broken.png'
  panels.write_png(path, np.zeros((64, 64, 3), np.uint8))
  whole = path.read_bytes()
  data = {'empty': b'', 'text': b'not a picture', 'cut': whole[:-40]}
  path.write_bytes(data[kind])
  with pytest.raises(errors.UserError, match=r'broken\.png is not a readable'):
    panels.read_image(path)


def _png(path, picture):
  panels.write_png(path, picture)
  return bytearray(path.read_bytes())


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_size_bombs_are_named_with_the_limit(tmp_path):
  Image.new('1', (20000, 10000)).save(tmp_path / 'bomb.png')
  with pytest.raises(errors.UserError, match=r'200000000 .* of 178956970 pix'):
    panels.read_image(tmp_path / 'bomb.png')
  Image.new('1', (200_000, 1)).save(tmp_path / 'strip.png')
  with pytest.raises(
    errors.UserError, match='200000x1 pixels; expected at mos'
  ):
    panels.read_image(tmp_path / 'strip.png')
  Image.new('L', (10000, 9000), 7).save(tmp_path / 'large.png')
  large = panels.read_image(tmp_path / 'large.png')  # Pillow warns of it.
  assert large.shape == (9000, 10000, 3)
  assert (large[::100] == 7).all()


def test_what_is_no_file_and_wrong_checksums_are_named(tmp_path):
  (tmp_path / 'gone.png').symlink_to('nowhere')
  os.mkfifo(tmp_path / 'pipe.png')
  for name in ('gone.png', 'pipe.png', '.'):
    with pytest.raises(errors.UserError, match='is not a readable file'):
      panels.read_image(tmp_path / name)
  data = _png(tmp_path / 'a.png', np.zeros((4, 4, 3), np.uint8))
  data[-16] ^= 1  # In the checksum of the pixels; the end has 12 bytes.
  (tmp_path / 'a.png').write_bytes(data)
  with pytest.raises(errors.UserError, match=r'a\.png is not a readable pict'):
    panels.read_image(tmp_path / 'a.png')
  deep = np.arange(4000, dtype=np.uint16).reshape(40, 100)
  Image.fromarray(deep).save(tmp_path / 'deep.tif')
  whole = (tmp_path / 'deep.tif').read_bytes()
  (tmp_path / 'deep.tif').write_bytes(whole[:4000])
  with pytest.raises(errors.UserError, match=r'deep\.tif is not a readable'):
    panels.read_image(tmp_path / 'deep.tif')
  (tmp_path / 'none.jpg').touch()
  with pytest.raises(errors.UserError, match=r'none\.jpg is not .*it is empty'):
    panels.read_image(tmp_path / 'none.jpg')


def test_pixels_of_every_kind(tmp_path):
  """Each is read as the picture that it shows, of four grey levels."""
  level = np.array([[0, 255], [0, 255]], np.uint8)
  rgb, grey = np.repeat(level[..., None], 3, -1), Image.fromarray(level)
  palette = grey.convert('P')
  for name, image, options in (
    ('bit.png', grey.convert('1'), {}),
    ('palette.png', palette, {'transparency': bytes(range(256))}),
    ('grey_alpha.png', grey.convert('LA'), {}),
    ('cmyk.tif', Image.fromarray(rgb).convert('CMYK'), {}),
    ('deep.png', Image.fromarray(level.astype(np.uint16) * 257), {}),
    ('deep.tif', Image.fromarray(level.astype(np.uint16) * 257), {}),
    ('deep.pgm', Image.fromarray(level.astype(np.uint16) * 257), {}),
  ):
    image.save(tmp_path / name, **options)
    np.testing.assert_array_equal(panels.read_image(tmp_path / name), rgb, name)
  exif = Image.Exif()
  exif[0x0112] = 3
  deep = np.array([[1000, 60000, 30000]], np.uint16)
  Image.fromarray(deep).save(tmp_path / 'turned.png', exif=exif)
  found = panels.read_image(tmp_path / 'turned.png')
  np.testing.assert_array_equal(found[..., 0], deep[:, ::-1] >> 8)
  for name, kind in (('f.tif', np.float32), ('i.tif', np.int32)):
    Image.fromarray(np.ones((2, 2), kind)).save(tmp_path / name)
    with pytest.raises(errors.UserError, match='32-bit pixels'):
      panels.read_image(tmp_path / name)


def test_tags_that_cannot_be_read_do_not_matter(tmp_path):
  rgb = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
  path = tmp_path / 'a.png'
  Image.fromarray(rgb).save(path, exif=b'Exif\0\0garbage!!')
  np.testing.assert_array_equal(panels.read_image(path), rgb)


def test_of_several_pictures_the_first_is_taken(tmp_path):
  first = np.full((6, 6, 3), 200, np.uint8)
  pages = [Image.fromarray(first), Image.new('RGB', (6, 6))]
  for suffix in ('gif', 'tiff', 'png'):
    path, notes = tmp_path / f'a.{suffix}', []
    pages[0].save(path, save_all=True, append_images=pages[1:])
    found = panels.read_image(path, note=notes.append)
    np.testing.assert_array_equal(found, first)
    assert notes == [f'{path} has several pictures; the first was taken']
    pages[0].save(path)
    panels.read_image(path, note=notes.append)
    assert len(notes) == 1
