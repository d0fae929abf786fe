"""The wide source: its ranges, and what each kind of variation touches."""

from collections.abc import Mapping
import colorsys
import dataclasses
import zlib

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import streets
from jaxuda.streets import domains
from jaxuda.streets import look as looks
from jaxuda.streets import mesh
from jaxuda.streets import street
from jaxuda.streets.domains import palette
from jaxuda.streets.domains import source
from jaxuda.streets.domains import wide
from jaxuda.streets.domains import widening

SIZE = {'seed': 3, 'height': 48, 'width': 96}
ALL = tuple(wide.KINDS)


def draw(domain, index, **more):
  return street.render(domain, index=index, **{**SIZE, **more})


def scene(domain, index):
  return street.scene(domain, seed=3, index=index)


def pairs(kind, number=4):
  """Yields scenes of the source, and the same with one kind of variation."""
  for index in range(number):
    yield draw('source', index), draw(f'wide-{kind}', index)


@pytest.mark.parametrize(
  ('domain', 'labels', 'color'),
  [
    ('source', 645169316, (75.318, 89.461, 90.045)),
    ('target', 3149976109, (92.106, 97.024, 98.106)),
  ],
)
def test_the_other_domains_stay_as_they_were(domain, labels, color):
  """Recorded when `wide` was added: old tables are for the old pictures."""
  drawn = draw(domain, 1, height=45, width=60)
  assert zlib.crc32(drawn['label'].tobytes()) == labels
  np.testing.assert_allclose(drawn['image'].mean((0, 1)), color, atol=0.02)


def test_names():
  assert domains.is_known('wide')
  assert domains.is_known('wide-sky')
  assert domains.is_known('wide-sky-sensor')
  for name in ('wide-', 'wide-fog', 'wide-sensor-sky', 'wide-sky-sky', 'Wide'):
    assert not domains.is_known(name)
  with pytest.raises(errors.UserError, match=r'wide-fog.*KIND of sky, light'):
    streets.check_view('wide-fog', 'left')
  # All kinds by name are the same as all kinds.
  first, second = draw('wide', 2), draw('-'.join(['wide', *ALL]), 2)
  for key in first:
    np.testing.assert_array_equal(first[key], second[key])


def inside(value, spread) -> bool:
  """Returns whether `palette.draw` could have drawn the value."""
  if isinstance(spread, palette.Exp):
    return np.exp(spread.low) <= value <= np.exp(spread.high) * (1 + 1e-12)
  if isinstance(spread, palette.Each):
    return value is spread.spread
  if isinstance(spread, palette.Around):
    low, high = value
    middle = (low + high) / 2
    reach = abs(middle) * spread.share
    return np.isclose(high - middle, reach) and inside(middle, spread.middle)
  if isinstance(spread, Mapping):
    return all(inside(value[k], one) for k, one in spread.items())
  if isinstance(spread, tuple):
    return spread[0] <= value <= spread[1]
  if isinstance(spread, list | range):
    return any(inside(value, one) for one in spread)
  return value == spread


def in_tone(color, tones) -> bool:
  """Returns whether a colour has one of the tones; greys have every hue."""
  h, s, v = (100 * x for x in colorsys.rgb_to_hsv(*color))
  return any(
    (s < 1e-6 or any(a - 1e-6 <= h + k <= b + 1e-6 for k in (0, 100)))
    and c - 1e-6 <= s <= d + 1e-6
    and e - 1e-6 <= v <= f + 1e-6
    for a, b, c, d, e, f in tones
  )


def test_styles_are_in_their_ranges():
  for seed in range(30):
    style = widening.sample(ALL, [seed])
    for table in (wide.CAMERA, wide.CONTENT, wide.SURFACES, wide.FOLIAGE):
      for name, spread in table.items():
        if name in ('tones', 'wear', 'same', 'step', 'number', 'variety'):
          continue
        if hasattr(style, name):
          assert inside(getattr(style, name), spread), name
    for table in (wide.SKY, wide.SHADOWS, wide.SENSOR):
      for name, spread in table.items():
        if name != 'tones':
          assert inside(style.look[name], spread), name
    for name in ('gamma', 'saturation', 'haze'):
      assert inside(style.look[name], wide.LIGHT[name])
    for name, tones in wide.SKY['tones'].items():
      assert in_tone(style.look[name], tones)
    assert sum(style.car_shapes) == pytest.approx(1)
    assert 0 < style.furniture_mix[0] < style.furniture_mix[2] <= 1
    assert set(style.crowns) <= set(wide.FOLIAGE['kinds'].spread)
    assert len(set(style.crowns)) == len(style.crowns) > 0


def test_colours_are_in_their_tones():
  allowed = wide.SURFACES['tones'] | wide.FOLIAGE['tones']
  same = 0
  for seed in range(20):
    style = widening.sample(ALL, [seed])
    rng = np.random.default_rng(seed)
    assert style.paints.keys() == allowed.keys()
    assert allowed.keys() >= style.tones.keys()
    for kind, tones in style.paints.items():
      if kind == 'sidewalk' and tones[0][:4] == style.paints['road'][0][:4]:
        # The tone of the road, except for one step.
        assert abs(tones[0][4] - style.paints['road'][0][4]) <= 8
        same += 1
      else:
        color = palette.pick(rng, tones)
        assert in_tone(color, allowed[kind]), kind
  assert 1 <= same <= 14


def test_ranges_are_used_to_their_ends():
  styles = [widening.sample(ALL, [seed]) for seed in range(150)]
  for name, values in (
    ('fov', [s.fov[0] for s in styles]),
    ('camera_height', [s.camera_height[0] for s in styles]),
    ('pitch', [s.pitch[0] for s in styles]),
    ('reach', [s.reach for s in styles]),
    ('kerb', [s.kerb for s in styles]),
  ):
    spread = {**wide.CAMERA, **wide.CONTENT}[name]
    low, high = spread.middle if isinstance(spread, palette.Around) else spread
    assert min(values) < low + 0.05 * (high - low), name
    assert max(values) > high - 0.05 * (high - low), name
    assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.09 * high)


def changed(kinds, key=(5,)):
  """Returns the fields of a style that differ from the source's."""
  style = widening.sample(kinds, key)
  fields = {f.name for f in dataclasses.fields(style)}
  return {
    name: getattr(style, name)
    for name in fields
    if getattr(style, name) != getattr(source.STYLE, name)
  }


def test_kinds_do_not_share_fields():
  fields = {kind: set(changed((kind,))) for kind in ALL}
  looks_of = {kind: set(widening.sample((kind,), [5]).look) for kind in ALL}
  assert fields['sky'] == fields['light'] == {'look'}
  assert fields['shadows'] == fields['sensor'] == {'look'}
  assert fields['camera'] == {*wide.CAMERA}
  common = {'look', 'paints', 'textures'}
  for a in ALL:
    for b in ALL[ALL.index(a) + 1 :]:
      assert fields[a] & fields[b] <= common, (a, b)
      assert not looks_of[a] & looks_of[b], (a, b)
  paints = [set(changed((k,))['paints']) for k in ('foliage', 'surfaces')]
  assert not paints[0] & paints[1]


def test_a_kind_is_the_same_with_the_others():
  style = widening.sample(ALL, [5])
  for kind in ALL:
    alone = changed((kind,))
    look = alone.pop('look', {})
    for name, value in look.items():
      # Haze has the colour of the sky at the horizon.
      if name != 'haze_color':
        np.testing.assert_array_equal(value, style.look[name])
    for name, value in alone.items():
      both = getattr(style, name)
      if isinstance(value, Mapping):
        assert value.items() <= both.items(), name
      else:
        assert value == both, name


@pytest.mark.parametrize(
  'kind', ['sky', 'light', 'surfaces', 'shadows', 'sensor']
)
def test_looks_change_neither_labels_nor_depth(kind):
  differences = []
  for plain, drawn in pairs(kind):
    np.testing.assert_array_equal(plain['label'], drawn['label'])
    np.testing.assert_array_equal(plain['depth'], drawn['depth'])
    differences.append((plain['image'] != drawn['image']).mean())
  assert max(differences) > 0.1, differences


def differs_far_from(mask, plain, drawn):
  """Returns the share of changed pixels at least two away from a mask.

  A pixel is a mixture of samples up to its neighbours, and some of these belong
  to things that cover no pixel's centre.
  """
  far = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
  return (plain['image'] != drawn['image'])[far].any(-1).mean()


def test_the_sky_alone_changes():
  for plain, drawn in pairs('sky'):
    sky = plain['label'] == mesh.SKY
    assert differs_far_from(sky, plain, drawn) < 0.005
    assert (plain['image'] != drawn['image'])[sky].mean() > 0.9


def test_shadows_only_darken():
  darker = []
  for plain, drawn in pairs('shadows', 6):
    assert (drawn['image'] <= plain['image']).all()
    darker.append((drawn['image'] < plain['image']).mean())
  # Some scenes have none.
  assert min(darker) == 0
  assert max(darker) > 0.15


def test_foliage_changes_where_there_was_or_is_some():
  shares = []
  for plain, drawn in pairs('foliage', 6):
    tree = (plain['label'] == mesh.VEGETATION) | (
      drawn['label'] == mesh.VEGETATION
    )
    for key in ('label', 'depth'):
      assert not ((plain[key] != drawn[key]) & ~tree).any()
    assert differs_far_from(tree, plain, drawn) < 0.005
    shares.append((plain['label'] != drawn['label']).mean())
  assert max(shares) > 0.01


def test_surfaces_leave_the_sky():
  for plain, drawn in pairs('surfaces'):
    solid = plain['label'] != mesh.SKY
    assert differs_far_from(solid, plain, drawn) < 0.03
    assert (plain['image'] != drawn['image'])[solid].mean() > 0.8


def test_another_camera_sees_the_same_street():
  for index in range(3):
    plain, other = scene('source', index), scene('wide-camera', index)
    for field in dataclasses.fields(mesh.Faces):
      a, b = (getattr(s.plan.faces, field.name) for s in (plain, other))
      np.testing.assert_array_equal(a, b)
    assert plain.plan.fov != other.plan.fov
    assert abs(plain.plan.position[0] - other.plan.position[0]) <= 0.5
    assert plain.look.zenith.tolist() == other.look.zenith.tolist()


def test_content_keeps_the_light_and_brings_breadth():
  counts = {d: np.zeros(256) for d in ('source', 'wide-content')}
  for index in range(20):
    for domain, count in counts.items():
      label = draw(domain, index, height=36, width=64)['label']
      count += np.bincount(label.ravel(), minlength=256)
  plain, more = counts.values()
  for label, factor in (
    (mesh.SIDEWALK, 1.6),
    (mesh.VEGETATION, 1.45),
    (mesh.TERRAIN, 2.0),
    (mesh.PERSON, 2.3),
  ):
    assert more[label] > factor * plain[label], label
  for label in (mesh.ROAD, mesh.BUILDING):
    assert more[label] > 0.5 * plain[label], label
  first, second = scene('source', 3), scene('wide-content', 3)
  for field in dataclasses.fields(looks.Look):
    a, b = (getattr(s.look, field.name) for s in (first, second))
    np.testing.assert_array_equal(a, b)
