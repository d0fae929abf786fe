"""The parts that the wide source varies: gaps, facades, roads, medians."""

import dataclasses

import numpy as np
import pytest

from jaxuda.streets import furniture
from jaxuda.streets import layout
from jaxuda.streets import look as looks
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import sprites
from jaxuda.streets import street
from jaxuda.streets.domains import palette
from jaxuda.streets.domains import source

SIZE = {'seed': 3, 'height': 48, 'width': 96}


def test_one_can_drive_on_the_left():
  for left, sign in ((False, 1), (True, -1)):
    style = dataclasses.replace(
      source.STYLE, left=left, people=(0, 0), traffic=(0, 0), parked=(1, 1)
    )
    plan = layout.sample(np.random.default_rng(3), style)
    assert np.sign(plan.position[0]) == sign


def site(seed=0, **fields):
  style = dataclasses.replace(source.STYLE, **fields)
  return sites.Site(np.random.default_rng(seed), style)


def test_a_bare_tree_has_the_colour_of_its_trunk():
  paints = {'vegetation': [(33, 33, 100, 100, 50, 50)]}
  paints['trunk'] = [(0, 0, 100, 100, 50, 50)]
  for crown, main in (('bare', 0), ('lace', 1)):
    place = site(crowns=(crown,), paints=paints)
    furniture.add_tree(place, mesh.Frame(), height=6.0)
    faces = place.out.finish()
    leaves = faces.colors[faces.sprite >= 0, 0]
    assert len(leaves) == 3
    assert (leaves.argmax(1) == main).all()


@pytest.mark.parametrize(
  ('name', 'share'),
  [('lace0', 0.85), ('lace4', 0.35), ('torn2', 0.6), ('thin_hedge3', 0.2)],
)
def test_leaves_cover_their_share(name, share):
  index = sprites.find(name)
  leaves, gaps = sprites.atlas()[index], sprites.gaps()[index]
  assert not (leaves.astype(bool) & gaps.astype(bool)).any()
  covered = leaves.sum() / (leaves.sum() + gaps.sum())
  assert covered == pytest.approx(share, abs=0.005)
  assert sprites.have_gaps()[index]


def test_old_cut_outs_have_no_gaps():
  for name in ('person0', 'crown3', 'round_crown1', 'hedge', 'wheel'):
    assert not sprites.have_gaps()[sprites.find(name)]
  assert not sprites.have_gaps()[-1]


def test_one_sees_through_a_gap_that_is_labelled_as_the_tree(monkeypatch):
  """A hedge of a leaf and a gap, side by side, in front of a bright wall."""
  picture = np.array([[1, 5]], np.uint8).repeat(32, 1).repeat(64, 0)
  sprites.atlas()
  index = sprites.find('thin_hedge0')
  for name, value in (
    ('atlas', np.where(picture == 5, 0, picture)),
    ('gaps', (picture == 5).astype(np.uint8)),
  ):
    pictures = list(getattr(sprites, name)())
    pictures[index] = value
    monkeypatch.setattr(sprites, name, lambda x=tuple(pictures): x)
  out, black, white = mesh.Mesh(), (0.02,) * 3, (0.9,) * 3
  leaf = mesh.Surface(mesh.VEGETATION, material.PLAIN, (black,), index)
  out.panel(mesh.Frame(z=10), (-2, 2), (-5, 9), leaf)
  wall = mesh.Surface(mesh.BUILDING, material.PLAIN, (white,))
  out.panel(mesh.Frame(z=20), (-30, 30), (-20, 30), wall)
  pole = mesh.Surface(mesh.POLE, material.PLAIN, (black,))
  out.panel(mesh.Frame(z=5), (0.5, 0.75), (-5, 9), pole)
  plain = street.scene('source', seed=3, index=0)
  plan = dataclasses.replace(
    plain.plan,
    faces=out.finish(),
    fov=np.radians(30),
    position=(0, 2, 0),
    pitch=0.0,
    yaw=0.0,
  )
  made = dataclasses.replace(plain, plan=plan)
  monkeypatch.setattr(street, 'scene', lambda *_, **__: made)
  drawn = street.render('source', **SIZE, index=0)
  row = drawn['label'][24]
  focal = 48 / np.tan(np.radians(15))
  x = (np.arange(96) - 47.5) / focal
  pole = (x * 5 >= 0.5) & (x * 5 <= 0.75)
  tree = abs(x * 10) <= 2
  np.testing.assert_array_equal(row == mesh.POLE, pole)
  np.testing.assert_array_equal(row == mesh.VEGETATION, tree & ~pole)
  np.testing.assert_allclose(drawn['depth'][24][tree & ~pole], 10, rtol=1e-5)
  light = drawn['image'][24].mean(-1)
  assert (light[tree & (x < -0.02) & (x > -0.19)] < 30).all()
  assert (light[tree & (x > 0.02) & (x < 0.08)] > 100).all()


def points(sizes, u, v):
  zeros = np.zeros(len(u), np.float32)
  colors = [[[0.5] * 3, [0.1] * 3, [0.9] * 3, [0.1] * 3]]
  return material.Points(
    u=np.array(u, np.float32),
    v=np.array(v, np.float32),
    blur=zeros + 1e-4,
    fine=zeros,
    medium=zeros,
    coarse=zeros,
    part=zeros.astype(np.uint8),
    face=zeros.astype(np.int64),
    colors=np.array(colors, np.float32),
    sizes=np.array([sizes], np.float32),
  )


def test_windows_are_where_their_sizes_say():
  # Cells of 2 x 3 m; windows of 0.4 of them, from 0.3 to 0.8; no shops.
  sizes = (2, 3, 0.2, 0.3, 0.8, 0.0, 0.2, 0.0)
  u, v = [1.0, 1.0, 1.0, 1.0, 1.47, 1.8], [4.5, 3.8, 5.5, 1.5, 4.5, 4.5]
  albedo = material.evaluate(material.MASONRY, points(sizes, u, v))[0]
  # Panes are dark, frames light.
  assert (albedo[[0, 3]] < 0.25).all()
  np.testing.assert_allclose(albedo[[1, 2, 4]], 0.9, rtol=1e-5)
  np.testing.assert_allclose(albedo[5], 0.5, rtol=1e-5)
  # Shops fill the ground floor; without a width there are no windows.
  shop = points((*sizes[:5], 0.9, *sizes[6:]), [1.0], [0.1])
  assert material.evaluate(material.MASONRY, shop)[0, 0] < 0.25
  blank = points((*sizes[:2], 0.0, *sizes[3:]), u, v)
  blank = material.evaluate(material.MASONRY, blank)[0]
  np.testing.assert_allclose(blank, 0.5, rtol=1e-5)


def test_roads_are_mended_to_their_share():
  u, v = np.random.default_rng(0).uniform(0, 300, (2, 20000))
  sizes = (1, 1, 2.0, 0.25, 0.0)
  albedo = material.evaluate(material.WORN, points(sizes, u, v))[0]
  assert set(np.unique(albedo.round(4))) == set(np.float32([0.1, 0.5]))
  assert (albedo < 0.2).mean() == pytest.approx(0.25, abs=0.02)
  sizes = (1, 1, 2.0, 0.0, 0.37)
  albedo = material.evaluate(material.WORN, points(sizes, u, v))[0]
  # Cracks of two halves of 0.37 m, every 3.7 m.
  assert (albedo < 0.4).mean() == pytest.approx(0.2, abs=0.01)


def test_margins_are_road_and_markings_fade():
  dust = [(8, 8, 50, 50, 70, 70)]
  for paint, margin in ((0.0, 0.0), (0.5, 0.0), (1.0, 1.5)):
    plan = layout.sample(
      np.random.default_rng(1),
      dataclasses.replace(
        source.STYLE, marking=paint, margin=margin, paints={'dust': dust}
      ),
    )
    faces = plan.faces
    road = faces.label == mesh.ROAD
    assert (faces.corners[road][..., 1] == 0).all()
    assert (faces.material[road] == material.GRASS).any() == bool(margin)
    asphalt = faces.colors[road & (faces.material == material.ASPHALT)][0, 0]
    line = faces.colors[road & (faces.material == material.PLAIN)][0, 0]
    white = line.max() > 0.85
    assert white == (paint == 1)
    if not paint:
      np.testing.assert_allclose(line, asphalt, rtol=1e-6)


@pytest.mark.parametrize(
  ('kind', 'label'),
  [('wall', mesh.WALL), ('fence', mesh.FENCE), ('terrain', mesh.TERRAIN)],
)
def test_a_median_parts_the_road(kind, label):
  style = dataclasses.replace(source.STYLE, median=kind, road=(12, 12), curve=0)
  plan = layout.sample(np.random.default_rng(2), style)
  # Houses close the view at the far end.
  middle = abs(plan.faces.corners[..., 0]).max(1) < 0.41
  middle &= plan.faces.corners[..., 2].max(1) < 95
  assert set(plan.faces.label[middle & (plan.faces.material != 0)]) == {label}
  assert plan.faces.corners[middle][..., 1].max() <= 1.3


def test_the_sky_climbs_and_glows():
  base = street.scene('source', seed=3, index=0).look
  look = dataclasses.replace(base, climb=1.0, sun=np.array([0, 0.6, 0.8]))
  directions = [np.array([[a]], np.float32) for a in (0.0, 0.6, 0.8)]
  color = looks.paint_sky(look, directions)[:, 0, 0]
  expected = base.horizon + 0.6 * (base.zenith - base.horizon)
  np.testing.assert_allclose(color, expected, rtol=1e-5)
  glow = looks.paint_sky(dataclasses.replace(look, glow=0.5), directions)
  np.testing.assert_allclose(glow[:, 0, 0], color + 0.5, rtol=1e-5)


def test_draws_of_draws():
  rng, again = np.random.default_rng(0), np.random.default_rng(0)
  low, high = palette.draw(rng, palette.Around((2.0, 4.0), 0.25))
  middle = again.uniform(2.0, 4.0)
  assert (low, high) == (middle * 0.75, middle * 1.25)
  assert palette.draw(rng, palette.Each((1.0, 2.0))) == (1.0, 2.0)
  drawn = palette.draw(rng, {'a': [(5.0, 6.0)], 'b': 'x'})
  assert 5 <= drawn['a'] <= 6
  assert drawn['b'] == 'x'
