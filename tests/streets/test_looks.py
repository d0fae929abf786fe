"""The looks of streets: shadows, surfaces, the lens, the things in them."""

import dataclasses

import cv2
import numpy as np
import pytest

from jaxuda.streets import domains
from jaxuda.streets import furniture
from jaxuda.streets import look as looks
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import raster
from jaxuda.streets import shadow
from jaxuda.streets import site as sites
from jaxuda.streets import sprites
from jaxuda.streets import traffic
from jaxuda.streets.domains import palette
from jaxuda.streets.domains import target

GREY = ((0.5, 0.5, 0.5),)


def grey(label, **more):
  return mesh.Surface(label, material.PLAIN, GREY, **more)


def wall(out, z, x=(-1.0, 1.0), y=(-1.0, 1.0), label=1, **more):
  out.panel(mesh.Frame(z=z), x, y, grey(label, **more))


def make_look(**more):
  """Makes a plain look."""
  one = np.ones(3)
  fields = {f.name: 0.0 for f in dataclasses.fields(looks.Look)}
  fields |= dict.fromkeys(('sunlight', 'skylight', 'gain'), one)
  fields |= {'lift': 0 * one, 'haze_color': one, 'quality': 0}
  fields |= {'zenith': np.array([0.2, 0.4, 0.8]), 'horizon': 0.9 * one}
  fields |= {
    'climb': 2.2,
    'cloud_scale': 55.0,
    'gamma': 1.0,
    'saturation': 1.0,
    'sun': np.array([0.0, 1.0, 0.0]),
  }
  return looks.Look(**fields | more)


def test_a_pillar_casts_its_shadow():
  out = mesh.Mesh()
  ground = np.array(
    [[[-20, 0, 0], [20, 0, 0], [20, 0, 60], [-20, 0, 60]]], float
  )
  out.add(ground, grey(0, shadow=False))
  out.box(mesh.Frame(z=20), (-1, 0, -1), (1, 8, 1), grey(2))
  # 45 degrees up, to the left: the shadow is as long as the pillar is high.
  sun = np.array([-1.0, 1.0, 0.0]) / np.sqrt(2)
  shadows = shadow.draw_map(out.finish(), sun)
  x = np.array([[-3, 2, 5, 8, 10.5, 5, 5]], np.float32)
  z = np.array([[20, 20, 20, 20, 20, 22, 18]], np.float32)
  lit = shadow.cast(shadows, [x, np.zeros_like(x), z])
  np.testing.assert_array_equal(lit, [[1, 0, 0, 0, 1, 1, 1]])
  # There is none on top of the pillar and on its sunny side.
  x, y, z = (
    np.array([[a, b]], np.float32) for a, b in ((0, -1), (8, 4), (20, 20))
  )
  np.testing.assert_array_equal(shadow.cast(shadows, [x, y, z]), [[1, 1]])


def test_facing_is_the_cosine():
  out = mesh.Mesh()
  out.box(mesh.Frame(), (-1, 0, -1), (1, 8, 1), grey(2))
  wall(out, 3.0)
  wall(out, 3.0, sprite=sprites.find('wheel'))
  sun = np.array([0.6, 0.64, 0.48])
  faces = out.finish()
  lit = shadow.facing(faces, sun, eye=np.zeros(3))
  np.testing.assert_allclose(lit, [0, 0.6, 0, 0.48, 0.64, 0, 0.62], atol=1e-9)
  # From behind, the wall shows its sunny side; closed things do not change.
  lit = shadow.facing(faces, sun, eye=np.array([0, 0, 9.0]))
  expected = [0, 0.6, 0, 0.48, 0.64, 0.48, 0.62]
  np.testing.assert_allclose(lit, expected, atol=1e-9)


def make_points(n=4000):
  rng = np.random.default_rng(0)
  u, v = rng.uniform(0, 30, (2, n)).astype(np.float32)
  zeros = np.zeros(n, np.float32)
  return material.Points(
    u=u,
    v=v,
    blur=zeros + 0.001,
    fine=zeros,
    medium=zeros,
    coarse=zeros,
    part=np.ones(n, np.uint8),
    face=np.ones(n, np.int64),
    colors=np.array(
      [np.zeros((4, 3)), [[0.5] * 3, [0.1] * 3, [0.9] * 3, [0.2] * 3]],
      np.float32,
    ),
    sizes=np.array([[1] * 8, [2, 3, 0.3, 0.2, 0.8, 0.7, 0.2, 0.3]], np.float32),
  )


@pytest.mark.parametrize('kind', material.NAMES.values())
def test_materials_are_functions_of_the_place(kind):
  points = make_points()
  albedo = material.evaluate(kind, points)
  assert albedo.shape == (3, 4000)
  assert np.isfinite(albedo).all()
  assert 0.05 < albedo.mean() < 1.0
  # Pixel by pixel: half of the points are equal.
  half = {
    f.name: getattr(points, f.name)[::2]
    for f in dataclasses.fields(points)
    if f.name not in ('colors', 'sizes')
  }
  again = material.evaluate(kind, dataclasses.replace(points, **half))
  np.testing.assert_array_equal(again, albedo[:, ::2])


def test_colours_of_materials():
  points = make_points()
  np.testing.assert_allclose(material.evaluate(material.PLAIN, points), 0.5)
  parts = dataclasses.replace(points, part=np.full(4000, 3, np.uint8))
  np.testing.assert_allclose(material.evaluate(material.PARTS, parts), 0.9)
  # Half of a fence is bars, plus its rails.
  bars = material.evaluate(material.BARS, points)[0]
  low = (points.v > 1) & (points.v < 2)
  np.testing.assert_allclose((bars[low] == 0.5).mean(), 0.5, atol=0.15)
  assert (bars[points.v > 2.7] == 0.5).all()


@pytest.mark.parametrize('level', range(3))
def test_noise_tiles_and_fades(level):
  period = np.float32(material.TEXELS[level] * 256)
  u, v = np.random.default_rng(0).uniform(-20, 20, (2, 32, 32))
  u, v = u.astype(np.float32), v.astype(np.float32)
  sharp = np.zeros_like(u)
  here = material.sample_noise(u, v, sharp, level=level)
  there = material.sample_noise(u + period, v - period, sharp, level=level)
  np.testing.assert_allclose(here, there, atol=0.02)
  assert 0.3 < here.std() < 1
  assert abs(here).max() <= 1
  blurred = material.sample_noise(
    u, v, sharp + 6 * np.float32(material.TEXELS[level]), level=level
  )
  np.testing.assert_allclose(blurred, here / 10, rtol=1e-3, atol=1e-6)


def test_sky_goes_from_the_horizon_to_the_zenith():
  look = make_look()
  directions = [
    np.array([[a, b]], np.float32) for a, b in ((1, 0), (0, 1), (0, 0))
  ]
  sky = looks.paint_sky(look, directions)
  np.testing.assert_allclose(sky[:, 0, 0], look.horizon, rtol=1e-6)
  np.testing.assert_allclose(sky[:, 0, 1], look.zenith, rtol=1e-6)


def test_a_plain_lens_changes_nothing():
  light = np.linspace(0, 0.8, 8 * 9 * 3, dtype=np.float32).reshape(8, 9, 3)
  rng = np.random.default_rng(0)
  picture = looks.expose(make_look(), light, rng=rng)
  np.testing.assert_allclose(picture, light * 255, atol=0.51)


def test_marks_of_the_lens():
  light = np.full((40, 40, 3), 0.4, np.float32)

  def expose(**fields):
    rng = np.random.default_rng(0)
    return looks.expose(make_look(**fields), light, rng=rng).astype(float)

  np.testing.assert_allclose(
    expose(gain=np.array([2, 1, 0.5]))[0, 0], [204, 102, 51]
  )
  dark = expose(vignette=0.5)
  np.testing.assert_allclose(dark[[0, 20], [0, 20], 0], [51, 102], atol=1)
  grainy = expose(noise=0.05)
  np.testing.assert_allclose(grainy.mean(), 102, atol=0.5)
  np.testing.assert_allclose(grainy.std(), 255 * 0.05 * np.sqrt(0.4), rtol=0.05)
  np.testing.assert_allclose(expose(lift=np.full(3, 0.1)), 117, atol=0.6)
  np.testing.assert_allclose(expose(gamma=2.0), 255 * 0.16, atol=0.6)


@pytest.mark.parametrize('overcast', [True, False])
def test_looks_are_in_range(overcast):
  table = target.OVERCAST if overcast else target.CLEAR
  style = dataclasses.replace(target.STYLE, weather=((1.0, table),))
  for seed in range(5):
    look = looks.sample(np.random.default_rng(seed), style)
    np.testing.assert_allclose(np.linalg.norm(look.sun), 1)
    assert (look.softness > 0) == overcast
    assert look.noise > 0
    assert look.haze > 0.001


def test_draw_by_kind():
  draw = lambda spread: palette.draw(np.random.default_rng(0), spread)
  rng = np.random.default_rng(0)
  uniform = rng.uniform(2.0, 3.0)
  assert draw((2.0, 3.0)) == uniform
  assert draw(palette.Exp(2.0, 3.0)) == np.exp(uniform)
  assert draw([7.0]) == 7.0
  assert draw(range(5, 9)) in (5, 6, 7, 8)
  # What is always the same takes nothing.
  assert palette.draw(rng, 1.5) == 1.5
  assert rng.random() == np.random.default_rng(0).random(2)[1]


@pytest.mark.parametrize('domain', domains.STYLES)
def test_tables_of_weather_have_known_names(domain):
  known = {f.name for f in dataclasses.fields(looks.Look)} | {*looks._NEUTRAL}
  known |= {'azimuth', 'elevation', 'zenith_light', 'spare'}
  known -= {'sun', 'haze_color', 'gain'}
  for _, table in domains.STYLES[domain].weather:
    assert table.keys() <= known


def test_every_weather_comes_as_often_as_it_should():
  one, two = ({**target.CLEAR, 'clouds': float(k)} for k in (1, 2))
  style = dataclasses.replace(target.STYLE, weather=((0.3, one), (0.7, two)))
  rng = np.random.default_rng(0)
  clouds = [looks.sample(rng, style).clouds for _ in range(400)]
  assert set(clouds) == {1.0, 2.0}
  assert np.mean(clouds) == pytest.approx(1.7, abs=0.08)


def test_tones():
  red = dataclasses.replace(
    target.STYLE, tones={'sign': [(0, 0, 100, 100, 50, 50)]}
  )
  assert red.color(np.random.default_rng(0), 'sign') == (0.5, 0.0, 0.0)
  source, worn = (domains.STYLES[d] for d in ('source', 'target'))
  assert source.tones.keys() == worn.tones.keys()
  assert source.chance.keys() == worn.chance.keys()
  rng = np.random.default_rng(0)
  for kind in source.tones:
    color = np.array([worn.color(rng, kind) for _ in range(20)])
    assert (color >= 0).all()
    assert (color <= 1).all()


THINGS = {
  'car': (traffic.add_car, {}, {mesh.CAR}, (2.0, 2.1, 5.0)),
  'truck': (traffic.add_truck, {}, {mesh.TRUCK}, (2.5, 3.8, 9.6)),
  'bus': (traffic.add_bus, {}, {mesh.BUS}, (2.6, 4.3, 12.1)),
  'train': (traffic.add_train, {}, {mesh.TRAIN}, (2.7, 3.7, 46.0)),
  'person': (traffic.add_person, {}, {mesh.PERSON}, (1.3, 2.0, 0.1)),
  'cyclist': (
    traffic.add_two_wheeler,
    {'motor': False, 'ridden': True, 'across': True},
    {mesh.BICYCLE, mesh.RIDER},
    (2.0, 2.0, 0.1),
  ),
  'motorcycle': (
    traffic.add_two_wheeler,
    {'motor': True, 'ridden': False, 'across': False},
    {mesh.MOTORCYCLE},
    (1.0, 2.0, 0.1),
  ),
  'tree': (
    furniture.add_tree,
    {'height': 6.0},
    {mesh.VEGETATION},
    (6.0, 7.0, 3.0),
  ),
  'bush': (furniture.add_bush, {}, {mesh.VEGETATION}, (2.7, 2.2, 0.1)),
  'lamp': (
    furniture.add_lamp_post,
    {'inwards': 1},
    {mesh.POLE},
    (2.5, 8.1, 0.4),
  ),
  'light': (
    furniture.add_traffic_light,
    {'inwards': -1},
    {mesh.POLE, mesh.LIGHT},
    (4.6, 6.0, 0.7),
  ),
  'sign': (
    furniture.add_sign,
    {},
    {mesh.POLE, mesh.SIGN},
    (1.8, 3.7, 0.2),
  ),
  'clutter': (furniture.add_clutter, {}, {mesh.IGNORE}, (1.3, 1.3, 1.3)),
}


@pytest.mark.parametrize('name', THINGS)
@pytest.mark.parametrize('domain', ['source', 'target'])
def test_things_have_their_labels_and_sizes(name, domain):
  add, options, labels, size = THINGS[name]
  for seed in range(4):
    site = sites.Site(np.random.default_rng(seed), domains.STYLES[domain])
    add(site, mesh.Frame(), **options)
    faces = site.out.finish()
    assert set(faces.label) == labels
    corners = faces.corners.reshape(-1, 3)
    assert (np.ptp(corners, axis=0) <= size).all(), np.ptp(corners, axis=0)
    # On the ground, or slightly below it for a bush.
    assert -0.4 < corners[:, 1].min() < 0.5
    # Plane: the fourth corner lies in the plane of the others.
    normal, offset = raster.planes(faces.corners)
    distance = (faces.corners @ normal[..., None])[..., 0] - offset[:, None]
    assert abs(distance).max() < 1e-9


def test_the_tent_filter_is_centred():
  """Samples 1, 3, 5, ... are the pixel centres."""
  samples = np.zeros((9, 9), np.float32)
  samples[3, 5] = 1
  tent = np.array([0.25, 0.5, 0.25], np.float32)
  pixels = cv2.sepFilter2D(samples, -1, tent, tent)[1::2, 1::2]
  expected = np.zeros((4, 4))
  expected[1, 2] = 0.25
  np.testing.assert_array_equal(pixels, expected)
