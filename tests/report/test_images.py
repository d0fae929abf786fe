import base64
import io
import xml.etree.ElementTree

import numpy as np
from PIL import Image
import pytest

from jaxuda.data.classes import labels
from jaxuda.report import charts
from jaxuda.report import images
from jaxuda.ui import panels

COLORS = labels.get_class_set('coarse7').colors


def _decode(source):
  head, _, data = source.partition(',')
  raw = base64.b64decode(data)
  if 'svg' in head:
    return raw.decode()
  return np.asarray(Image.open(io.BytesIO(raw)).convert('RGB'))


def test_labels_keep_their_colors():
  label = np.array([[0, 3, 255], [6, 6, 1]])
  np.testing.assert_array_equal(
    _decode(images.encode_labels(label, COLORS)),
    panels.color_labels(label, COLORS),
  )


def test_large_maps_are_thinned_not_mixed():
  label = np.zeros((10, 2 * images.WIDEST), int)
  label[:, images.WIDEST :] = 6
  shown = _decode(images.encode_labels(label, COLORS))
  half = images.WIDEST // 2
  assert shown.shape == (5, images.WIDEST, 3)
  assert (shown[:, :half] == COLORS[0]).all()
  assert (shown[:, half:] == COLORS[6]).all()


def test_errors_are_red_where_the_prediction_is_wrong():
  label = np.array([[0, 1, 255]])
  shown = _decode(images.encode_errors(np.array([[0, 2, 2]]), label))[0]
  right, wrong, ignored = shown.astype(int)
  assert np.ptp(right) < 20
  assert wrong[0] > 2 * wrong[1:].max()
  assert np.ptp(ignored) < 20
  assert right.mean() > ignored.mean()


def test_near_is_bright_and_nothing_is_black():
  depth = np.repeat([4.0, 40.0, 0.0], 16)[None].repeat(16, 0)
  shown = _decode(images.encode_depth(depth)).astype(int).sum(-1)
  near, far, nothing = shown[8, 8], shown[8, 24], shown[8, 40]
  assert near > far + 100 > nothing + 100
  assert nothing < 20


def test_photos_are_shrunk():
  photo = np.full((500, 2 * images.WIDEST, 3), (200, 100, 50), np.uint8)
  shown = _decode(images.encode_photo(photo))
  assert shown.shape == (250, images.WIDEST, 3)
  np.testing.assert_allclose(shown[100, 100], (200, 100, 50), atol=4)


def test_charts_take_the_page_s_colour():
  text = _decode(charts.draw_curves([(0, [1, 2], [1.0, 3.0])]))
  xml.etree.ElementTree.fromstring(text)
  assert 'currentColor' in text
  assert charts.pick_color(0) in text
  assert 'prefers-color-scheme:dark' in text
  assert text == _decode(charts.draw_curves([(0, [1, 2], [1.0, 3.0])]))


@pytest.mark.parametrize(
  ('values', 'log'), [([1, 30], True), ([1, 3], False), ([0, 30], False)]
)
def test_wide_ranges_are_logarithmic(values, log, monkeypatch):
  axes = []
  real = charts._create_axes
  monkeypatch.setattr(
    charts, '_create_axes', lambda **o: axes.append(real(**o)) or axes[-1]
  )
  charts.draw_curves([(0, [1, 2], values)])
  assert (axes[0].get_yscale() == 'log') == log


def test_histogram_parts_what_gains_from_what_loses(monkeypatch):
  axes = []
  real = charts._create_axes
  monkeypatch.setattr(
    charts, '_create_axes', lambda **o: axes.append(real(**o)) or axes[-1]
  )
  charts.draw_histogram([-0.01, -8.0, 0.0, 0.01, 15.0], number=1)
  bars = axes[0].patches
  lost = [b for b in bars if b.get_hatch()]
  assert sum(b.get_height() for b in lost) == 2
  assert all(b.get_x() + b.get_width() <= 1e-9 for b in lost)
  assert sum(b.get_height() for b in bars) == 5
