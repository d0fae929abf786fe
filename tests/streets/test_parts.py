"""The parts of the renderer: meshes, drawing, shadows, surfaces, the lens."""

import numpy as np
import pytest

from jaxuda.streets import camera
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import raster
from jaxuda.streets import sprites

GREY = ((0.5, 0.5, 0.5),)
GRID = {'height': 40, 'width': 60}
LENS = {'focal': 50.0, 'cx': 29.5, 'cy': 19.5}
# From a world of Y up to a camera at its origin that looks along Z.
FLIP = np.diag([1.0, -1.0, 1.0, 1.0])
CAMERA = camera.Camera(**LENS, position=(0, 0, 0), pitch=0.0, yaw=0.0)


def grey(label, **more):
  return mesh.Surface(label, material.PLAIN, GREY, **more)


def wall(out, z, x=(-1.0, 1.0), y=(-1.0, 1.0), label=1, **more):
  out.panel(mesh.Frame(z=z), x, y, grey(label, **more))


def draw(out, *, sprite=None, uv=None):
  faces = out.finish()
  polygons = raster.project(faces, CAMERA, **GRID)
  number = len(polygons.face)
  if sprite is None:
    sprite, uv = np.full(number, -1), np.zeros((number, 2, 3))
  buffers = raster.draw(polygons, sprite=sprite, uv=uv, empty=0.0, **GRID)
  label = np.append(faces.label[polygons.face], mesh.SKY)[buffers.polygon]
  with np.errstate(divide='ignore'):
    return label, 1 / buffers.nearness


def rays():
  y, x = np.mgrid[: GRID['height'], : GRID['width']]
  return (x - LENS['cx']) / LENS['focal'], (y - LENS['cy']) / LENS['focal']


def test_box_corners():
  out = mesh.Mesh()
  frame = mesh.Frame(x=10, z=20, heading=np.pi / 2, y=1)
  out.box(frame, (-1, 0, -2), (1, 3, 2), grey(4))
  faces = out.finish()
  assert faces.corners.shape == (5, 4, 3)
  # Its z axis points along X, its x axis against Z.
  corners = faces.corners.reshape(-1, 3)
  np.testing.assert_allclose(corners.min(0), [8, 1, 19])
  np.testing.assert_allclose(corners.max(0), [12, 4, 21])
  # The -z face: its left end, seen from outside.
  expected = [[8, 1, 21], [8, 1, 19], [8, 4, 19], [8, 4, 21]]
  np.testing.assert_allclose(faces.corners[2], expected, atol=1e-12)
  # The normals of all faces point away from the centre.
  view = faces.corners - [10, 2.5, 20]
  normal, offset = raster.planes(view @ FLIP[:3, :3])
  assert (offset > 0).all()
  np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1)


def test_taper_and_inset():
  out = mesh.Mesh()
  low, high = (-2, 0, -2), (2, 1, 2)
  out.box(mesh.Frame(), low, high, grey(1), taper=(0.5, 0.25))
  top = out.finish().corners[4]
  np.testing.assert_allclose(top.max(0), [1.5, 1, 1.75])
  out = mesh.Mesh()
  inset = (0.1, 0.2, 0.4)
  out.box(mesh.Frame(), low, high, grey(1), inset=inset, faces=(2,))
  window = out.finish().corners[0]
  np.testing.assert_allclose(window.min(0), [-1.6, 0.2, -2])
  np.testing.assert_allclose(window.max(0), [1.6, 0.6, -2])


def test_side_and_panel():
  out = mesh.Mesh()
  out.panel(mesh.Frame(), (0, 2), (0, 1), grey(1), z=3)
  out.side(mesh.Frame(), (0, 2), (0, 1), grey(1), x=3)
  panel, side = out.finish().corners
  np.testing.assert_allclose(
    panel, [[0, 0, 3], [2, 0, 3], [2, 1, 3], [0, 1, 3]]
  )
  np.testing.assert_allclose(side, [[3, 0, 0], [3, 0, 2], [3, 1, 2], [3, 1, 0]])
  assert out.finish().double.all()


@pytest.mark.parametrize('order', [(4, 8), (8, 4)])
def test_the_nearer_face_hides_the_farther(order):
  out = mesh.Mesh()
  for z in order:
    x = (-0.5, 0.5) if z == 4 else (-2, 2)
    wall(out, float(z), x=x, label=z)
  label, depth = draw(out)
  x, y = rays()
  near = (abs(x) * 4 <= 0.5) & (abs(y) * 4 <= 1)
  far = ~near & (abs(x) * 8 <= 2) & (abs(y) * 8 <= 1)
  np.testing.assert_array_equal(label == 4, near)
  np.testing.assert_array_equal(label == 8, far)
  np.testing.assert_allclose(depth[near], 4, rtol=1e-6)
  np.testing.assert_allclose(depth[far], 8, rtol=1e-6)
  assert (label[~near & ~far] == mesh.SKY).all()


def test_of_two_faces_in_a_plane_the_later_wins():
  out = mesh.Mesh()
  wall(out, 5.0, label=1)
  wall(out, 5.0, x=(-0.4, 0.7), label=2)
  label, _ = draw(out)
  x, y = rays()
  inside = (x * 5 >= -0.4) & (x * 5 <= 0.7) & (abs(y) * 5 <= 1)
  np.testing.assert_array_equal(label == 2, inside)


def test_crossing_faces_hide_each_other_pixel_by_pixel():
  out = mesh.Mesh()
  for k, heading in enumerate((0.5, -0.5)):
    frame = mesh.Frame(z=6, heading=heading)
    out.panel(frame, (-1, 1), (-1, 1), grey(k + 1))
  label, depth = draw(out)
  x, _ = rays()
  # Heading to the right brings the left half of a panel... away: z falls with
  # x as tan(heading).
  z = [6 / (1 + np.tan(h) * x) for h in (0.5, -0.5)]
  seen = label != mesh.SKY
  np.testing.assert_allclose(depth[seen], np.minimum(*z)[seen], rtol=1e-5)
  np.testing.assert_array_equal(label[seen] == 1, (z[0] < z[1])[seen])


@pytest.mark.parametrize('seed', range(6))
def test_coverage_and_depth_of_slanted_faces(seed):
  """Compares with a brute-force intersection of rays with the face."""
  rng = np.random.default_rng(seed)
  origin = np.array([*rng.uniform(-1, 1, 2), rng.uniform(4, 9)])
  a, b = rng.normal(size=(2, 3)) * 2
  corners = np.array([origin, origin + a, origin + a + b, origin + b])
  # Half of them reach behind the camera.
  if seed % 2:
    corners[..., 2] -= corners[..., 2].min() + 1
  else:
    corners[..., 2] += max(0, 1 - corners[..., 2].min())
  a, b = corners[1] - corners[0], corners[3] - corners[0]
  out = mesh.Mesh()
  out.add(corners[None] * [1, -1, 1], grey(3), double=True)
  label, depth = draw(out)
  x, y = rays()
  ray = np.stack([x, y, np.ones_like(x)], -1)
  normal = np.cross(a, b)
  with np.errstate(divide='ignore', invalid='ignore'):
    z = (normal @ corners[0]) / (ray @ normal)
    point = z[..., None] * ray - corners[0]
    u, v = np.moveaxis(point @ np.linalg.pinv(np.stack([a, b])), -1, 0)
    inside = (z >= raster.NEAR) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
  np.testing.assert_array_equal(label == 3, inside)
  np.testing.assert_allclose(depth[inside], z[inside], rtol=1e-4)


def test_back_sides_are_left_out():
  for heading, seen in ((0.0, True), (np.pi, False)):
    out = mesh.Mesh()
    frame = mesh.Frame(z=5, heading=heading)
    out.box(frame, (-1, -1, 0), (1, 1, 0), grey(1), faces=(2,))
    label, _ = draw(out)
    assert (label == 1).any() == seen


def test_holes_of_a_cut_out_show_what_is_behind():
  out = mesh.Mesh()
  wall(out, 9.0, x=(-9, 9), y=(-9, 9), label=1)
  wall(out, 5.0, label=2)
  number = sprites.find('wheel')
  # u and v of the panel from -1 to 1 at z = 5, times 1 / z.
  u = [1 / 2 / 50, 0, 0.1 - 29.5 / 2 / 50]
  v = [0, -1 / 2 / 50, 0.1 + 19.5 / 2 / 50]
  uv = np.array([np.zeros((2, 3)), [u, v]])
  label, depth = draw(out, sprite=np.array([-1, number]), uv=uv)
  x, y = rays()
  radius = np.hypot(x, y) * 5
  assert (label[radius < 0.9] == 2).all()
  assert (label[radius > 1.05] == 1).all()
  np.testing.assert_allclose(depth[label == 2], 5, rtol=1e-6)
  np.testing.assert_allclose(depth[label == 1], 9, rtol=1e-6)


def test_sprites_are_parts():
  for image in sprites.atlas():
    assert image.dtype == np.uint8
    assert 1 <= image.max() <= 4
  assert sprites.atlas()[sprites.find('wheel')].shape == (48, 48)
  person = sprites.atlas()[sprites.find('person0')]
  assert set(np.unique(person)) == {0, 1, 2, 3, 4}
  # The head is above the shoes.
  rows = np.nonzero(person == sprites.TOP)[0].mean()
  assert rows < np.nonzero(person == sprites.TROUSERS)[0].mean()
