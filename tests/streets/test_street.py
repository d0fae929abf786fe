"""The streets: geometry compared with closed forms, views, looks."""

import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import streets
from jaxuda.streets import camera as cameras
from jaxuda.streets import domains
from jaxuda.streets import layout
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import street
from jaxuda.streets import worker

SIZE = {'height': 96, 'width': 192}
DOMAINS = streets.DOMAINS


def view(domain, index, name='left', **size):
  """Renders a view; returns it with its camera."""
  request = {'seed': 3, 'index': index, **SIZE, **size, 'view': name}
  return street.render(domain, **request), street.camera(domain, **request)


def intrinsics(camera):
  """Returns the matrix [3, 3] from camera points to pixels."""
  return np.array(
    [[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1.0]]
  )


def points(depth, camera):
  """Returns the world points of all pixels, [h, w, 3]."""
  y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
  rays = (
    np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(intrinsics(camera)).T
  )
  return (depth[..., None] * rays) @ camera.rotation + camera.position


def look_up(picture, x, y):
  """Samples a picture [h, w, c] bilinearly."""
  maps = x.astype(np.float32), y.astype(np.float32)
  return cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderValue=-1)


def transfer(first, second):
  """Maps the pixels of the first view to the second.

  Returns:
    Columns, rows and depths in the second view, and which pixels it shows:
    those inside and not occluded.
  """
  (drawn, eye), (other, other_eye) = first, second
  there = points(drawn['depth'], eye) - other_eye.position
  there = there @ other_eye.rotation.T
  z = there[..., 2]
  x = other_eye.focal * there[..., 0] / z + other_eye.cx
  y = other_eye.focal * there[..., 1] / z + other_eye.cy
  h, w = z.shape
  column, row = np.round(x).astype(int), np.round(y).astype(int)
  inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
  found = other['depth'][row.clip(0, h - 1), column.clip(0, w - 1)]
  seen = inside & (abs(found - z) < 0.05 * z) & (drawn['depth'] < 200)
  return x, y, z, inside & (drawn['depth'] < 200), seen


@pytest.mark.parametrize('domain', DOMAINS)
def test_render_is_a_function_of_its_arguments(domain):
  first, _ = view(domain, 5)
  street.render(domain, seed=3, index=6, **SIZE)
  street.scene.cache_clear()
  again, _ = view(domain, 5)
  for key in first:
    np.testing.assert_array_equal(first[key], again[key])
  for other in ({'index': 6}, {'seed': 4}):
    arguments = {'seed': 3, 'index': 5, **other, **SIZE}
    drawn = street.render(domain, **arguments)
    assert (drawn['label'] != first['label']).mean() > 0.1


@pytest.mark.parametrize('domain', DOMAINS)
@pytest.mark.parametrize('size', [(96, 192), (45, 60), (61, 33)])
def test_render_shapes_and_ranges(domain, size):
  drawn, _ = view(domain, 1, height=size[0], width=size[1])
  assert drawn['image'].shape == (*size, 3)
  assert drawn['image'].dtype == np.uint8
  assert drawn['label'].shape == drawn['depth'].shape == size
  assert drawn['label'].dtype == np.uint8
  assert drawn['depth'].dtype == np.float32
  assert set(np.unique(drawn['label'])) <= {*range(19), 255}
  sky = drawn['label'] == mesh.SKY
  np.testing.assert_array_equal(drawn['depth'] == np.float32(street.FAR), sky)
  assert drawn['depth'].min() > 0.3
  assert drawn['image'].std() > 10


@pytest.mark.parametrize('domain', DOMAINS)
def test_every_class_appears(domain):
  size = {'height': 80, 'width': 160}
  counts = np.zeros(256)
  for index in range(30):
    label = street.render(domain, seed=0, index=index, **size)['label']
    counts += np.bincount(label.ravel(), minlength=256) >= 5
  assert (counts[: mesh.TRAIN] >= 5).all(), counts[:19]
  assert (counts[[mesh.MOTORCYCLE, mesh.BICYCLE]] >= 5).all()
  assert counts[mesh.TRAIN] >= 1


@pytest.mark.parametrize('domain', DOMAINS)
@pytest.mark.parametrize('index', range(3))
def test_road_depth_is_the_closed_form(domain, index):
  drawn, eye = view(domain, index)
  y = (np.arange(SIZE['height']) - eye.cy) / eye.focal
  # With no pitch this is height * focal / (row - cy).
  with np.errstate(divide='ignore'):
    z = eye.position[1] / (y * np.cos(eye.pitch) + np.sin(eye.pitch))
  expected = np.broadcast_to(z[:, None], drawn['depth'].shape)
  road = drawn['label'] == mesh.ROAD
  assert road.mean() > 0.1
  np.testing.assert_allclose(drawn['depth'][road], expected[road], rtol=1e-5)


@pytest.mark.parametrize('domain', DOMAINS)
def test_things_stand_at_their_height(domain):
  """In world points, flat classes are flat and nothing is below the road."""
  for index in range(4):
    drawn, eye = view(domain, index)
    height = points(drawn['depth'].astype(np.float64), eye)[..., 1]
    label = drawn['label']
    assert height.min() > -1e-3
    walk = height[(label == mesh.SIDEWALK) | (label == mesh.TERRAIN)]
    assert walk.max() < domains.STYLES['source'].kerb + 1e-3
    people = height[label == mesh.PERSON]
    assert people.max(initial=0) < 2.2


@pytest.mark.parametrize('index', range(3))
def test_right_view_has_the_disparity_of_the_depth(index):
  left, right = view('source', index), view('source', index, 'right')
  x, y, z, inside, seen = transfer(left, right)
  eye = left[1]
  columns = np.arange(SIZE['width'])[None]
  disparity = eye.focal * cameras.BASELINE / left[0]['depth']
  np.testing.assert_allclose(x, columns - disparity, atol=1e-2)
  np.testing.assert_allclose(y[:, 0], np.arange(SIZE['height']), atol=1e-2)
  np.testing.assert_allclose(z, left[0]['depth'], rtol=1e-5)
  assert seen[inside].mean() > 0.9
  there = np.round(x).astype(int).clip(0, SIZE['width'] - 1)
  label = np.take_along_axis(right[0]['label'], there, 1)
  assert (label == left[0]['label'])[seen].mean() > 0.98
  moved = look_up(right[0]['image'].astype(np.float32), x, y)
  error = abs(moved - left[0]['image']).mean(-1)
  # Both are filtered, so edges differ a little.
  assert np.median(error[seen]) < 1.5
  assert np.mean(error[seen]) < 5
  # Without the disparity nothing matches.
  still = abs(right[0]['image'].astype(float) - left[0]['image']).mean(-1)
  assert np.mean(still[seen]) > 1.7 * np.mean(error[seen])


def test_target_textures_can_be_matched():
  """The true disparity matches the road better than one a pixel off."""
  left, right = view('target', 2), view('target', 2, 'right')
  x, y, _, _, seen = transfer(left, right)
  near = seen & (left[0]['label'] == mesh.ROAD)
  fits = []
  for off in (-2, -1, 0, 1, 2):
    moved = look_up(right[0]['image'].astype(np.float32), x + off, y)
    difference = (moved - left[0]['image']).mean(-1)[near]
    fits.append(difference.std())
  assert np.argmin(fits) == 2, fits


@pytest.mark.parametrize('domain', DOMAINS)
@pytest.mark.parametrize('name', ['previous', 'next'])
def test_frames_of_the_drive_reproject(domain, name):
  now, then = view(domain, 4), view(domain, 4, name)
  step = np.subtract(then[1].position, now[1].position)
  np.testing.assert_allclose(np.linalg.norm(step), cameras.STEP, rtol=1e-9)
  assert (step[2] > 0) == (name == 'next')
  assert step[1] == 0
  x, y, _, inside, seen = transfer(now, then)
  assert inside.mean() > 0.4
  assert seen[inside].mean() > 0.9
  h, w = SIZE['height'], SIZE['width']
  row = np.round(y).astype(int).clip(0, h - 1)
  column = np.round(x).astype(int).clip(0, w - 1)
  label = then[0]['label'][row, column]
  assert (label == now[0]['label'])[seen].mean() > 0.97
  moved = look_up(then[0]['image'].astype(np.float32), x, y)
  error = abs(moved - now[0]['image']).mean(-1)[seen].mean()
  still = abs(then[0]['image'].astype(float) - now[0]['image']).mean(-1)
  assert error < still[seen].mean()


def test_motion_takes_points_to_the_other_camera():
  _, now = view('target', 4)
  for name in cameras.VIEWS:
    _, then = view('target', 4, name)
    matrix = cameras.motion(now, then)
    world = np.array([1.0, 2.0, 9.0])
    here = now.rotation @ (world - now.position)
    there = then.rotation @ (world - then.position)
    np.testing.assert_allclose(matrix @ [*here, 1], [*there, 1], atol=1e-12)
  right = cameras.motion(now, now.seen_from('right'))
  expected = np.eye(4)
  expected[0, 3] = -cameras.BASELINE
  np.testing.assert_allclose(right, expected, atol=1e-12)


def test_camera_axes():
  eye = cameras.Camera(
    focal=100.0, cx=5, cy=4, position=(0, 1.5, 0), pitch=0.0, yaw=0.0
  )
  # World: X right, Y up, Z ahead; camera: x right, y down, z ahead.
  np.testing.assert_allclose(eye.rotation, np.diag([1, -1, 1]), atol=1e-15)
  point = intrinsics(eye) @ (eye.extrinsic @ [0, 0, 10, 1])[:3]
  np.testing.assert_allclose(point / point[2], [5, 4 + 100 * 1.5 / 10, 1])
  # Turned to the right, things ahead move to the left; pitched down, up.
  turned = cameras.Camera(
    focal=100.0, cx=0, cy=0, position=(0, 0, 0), pitch=0.1, yaw=0.2
  )
  x, y, _ = turned.rotation @ [0, 0, 1]
  assert x < 0
  assert y < 0
  np.testing.assert_allclose(
    turned.rotation @ turned.rotation.T, np.eye(3), atol=1e-12
  )


def test_the_scene_does_not_depend_on_the_size():
  small, _ = view('target', 7, height=48, width=96)
  large, _ = view('target', 7, height=144, width=288)
  # Pixel centres of the small picture are those of every third pixel.
  np.testing.assert_array_equal(small['label'], large['label'][1::3, 1::3])
  np.testing.assert_allclose(
    small['depth'], large['depth'][1::3, 1::3], rtol=1e-5
  )


def test_domains_differ_in_look_and_layout():
  colour, counts = {}, {}
  for domain in DOMAINS:
    saturation, shares = [], np.zeros(256)
    for index in range(12):
      drawn, _ = view(domain, index)
      hsv = cv2.cvtColor(drawn['image'], cv2.COLOR_RGB2HSV)
      saturation.append(hsv[..., 1].mean())
      shares += np.bincount(drawn['label'].ravel(), minlength=256)
    colour[domain], counts[domain] = np.mean(saturation), shares / shares.sum()
  assert colour['source'] > 1.3 * colour['target']
  assert counts['target'][mesh.CAR] > 1.2 * counts['source'][mesh.CAR]


def test_layout_is_in_the_range_of_its_style():
  style = domains.STYLES['target']
  for seed in range(5):
    plan = layout.sample(np.random.default_rng(seed), style)
    assert style.fov[0] <= np.degrees(plan.fov) <= style.fov[1]
    assert style.camera_height[0] <= plan.position[1] <= style.camera_height[1]
    assert style.pitch[0] <= np.degrees(plan.pitch) <= style.pitch[1]
    assert plan.faces.corners.shape[1:] == (4, 3)
    assert np.isfinite(plan.faces.corners).all()
    assert (plan.faces.colors >= 0).all()
    assert (plan.faces.colors <= 1).all()


def test_road_bends():
  bend = 0.004
  road = sites.Road(bend)
  # A parabola: offset s^2 bend / 2, and sideways is across the road.
  assert road.point(50.0, 0.0) == [pytest.approx(5.0), 0.0, 50.0]
  middle, side = np.array(road.point(30, 0)), np.array(road.point(30, 2, 0.1))
  np.testing.assert_allclose(np.linalg.norm(side - middle), np.hypot(2, 0.1))
  along = np.subtract(road.point(30.01, 0), road.point(29.99, 0))
  assert abs(np.dot(along, (side - middle) * [1, 0, 1])) < 1e-6
  assert road.frame(30, 0).heading == pytest.approx(np.arctan(bend * 30))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'domain': 'real'}, 'real.*source, target'),
    ({'view': 'up'}, 'up.*left, right, previous, next'),
    ({'height': 4}, '4x192.*at least'),
    ({'index': -1}, 'index -1'),
    ({'seed': -2}, 'seed -2'),
  ],
)
def test_mistakes_are_named(change, message):
  arguments = {'domain': 'source', 'seed': 0, 'index': 0, **SIZE} | change
  with pytest.raises(errors.UserError, match=message):
    street.render(arguments.pop('domain'), **arguments)


def decode(data):
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


REQUEST = {
  'domain': 'target',
  'seed': 3,
  'height': 24,
  'width': 40,
  'views': ('right', 'next'),
}
THREE = range(10, 13)


def test_encoded_scenes_are_the_rendered_ones():
  scene = worker.encode_scene(**REQUEST, index=11)
  size = {'height': 24, 'width': 40}
  drawn, eye = view('target', 11, **size)
  assert scene['index'] == 11
  image = decode(scene['image'])[..., ::-1]
  np.testing.assert_array_equal(image, drawn['image'])
  np.testing.assert_array_equal(decode(scene['label']), drawn['label'])
  depth = decode(scene['depth'])
  assert depth.dtype == np.uint16
  np.testing.assert_allclose(depth / 100, drawn['depth'], atol=0.00501)
  assert (depth[drawn['label'] == mesh.SKY] == 65535).all()
  np.testing.assert_allclose(scene['intrinsics'], [eye.focal, eye.cx, eye.cy])
  for name in ('right', 'next'):
    other, other_eye = view('target', 11, name, **size)
    np.testing.assert_array_equal(
      decode(scene[name])[..., ::-1], other['image']
    )
    np.testing.assert_allclose(
      scene[f'motion_{name}'], cameras.motion(eye, other_eye), rtol=1e-6
    )


def test_the_number_of_workers_changes_nothing():
  alone = list(streets.render_scenes(**REQUEST, indices=THREE, workers=1))
  assert [scene['index'] for scene in alone] == [10, 11, 12]
  both = list(streets.render_scenes(**REQUEST, indices=THREE, workers=2))
  for a, b in zip(alone, both, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key])
  # Here and not there is the same, too.
  here = worker.encode_scene(**REQUEST, index=12)
  assert here['image'] == alone[2]['image']


def test_workers_stop_when_nobody_listens():
  scenes = streets.render_scenes(**REQUEST, indices=THREE, workers=2)
  next(scenes)
  scenes.close()


def test_a_dead_worker_is_noticed(monkeypatch):
  monkeypatch.setattr(sys, 'executable', 'false')
  with pytest.raises(errors.UserError, match='exit status 1 at scene 10; exp'):
    list(streets.render_scenes(**REQUEST, indices=THREE, workers=1))


@pytest.mark.parametrize(
  ('number', 'said'),
  [
    (signal.SIGKILL, 'killed by SIGKILL, .* at scene'),
    # Ctrl-C, which the main process may have caught.
    (signal.SIGINT, 'was interrupted at scene .* begins anew'),
  ],
)
def test_a_killed_worker_is_noticed(monkeypatch, capfd, number, said):
  started = []

  def start(*arguments):
    started.append(worker_start(*arguments))
    return started[-1]

  worker_start = worker._start
  monkeypatch.setattr(worker, '_start', start)
  scenes = streets.render_scenes(**REQUEST, indices=range(10, 90), workers=1)
  next(scenes)
  started[0].send_signal(number)
  with pytest.raises(errors.UserError, match=said):
    list(scenes)
  assert capfd.readouterr().err == ''


def test_workers_load_neither_tensorflow_nor_jax():
  code = (
    'import jaxuda.streets.worker, sys;'
    'sys.exit(bool({"tensorflow", "jax"} & set(sys.modules)))'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
