"""Draws a street: a picture with its labels and depth."""

import dataclasses
import functools

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.streets import camera as cameras
from jaxuda.streets import domains
from jaxuda.streets import layout
from jaxuda.streets import look as looks
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import raster
from jaxuda.streets import shadow

# Depth of the sky, metres: the largest value of a uint16 in centimetres.
FAR = 655.35

# Samples per pixel along each axis. Pixel centres are samples, so that labels
# and depth are exact there.
_GRID = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
  """A street, its light and its camera, independent of the picture's size.

  Attributes:
    plan: the street and the camera.
    look: the light.
    textures: [M] float32, contrast of the textures of every pattern.
  """

  plan: layout.Layout
  look: looks.Look
  textures: np.ndarray

  @functools.cached_property
  def shadows(self) -> shadow.Map:
    """The shadow map."""
    return shadow.draw_map(self.plan.faces, self.look.sun)


def check_view(domain: str, view: str) -> None:
  """Raises a UserError if the domain or view does not exist."""
  if not domains.is_known(domain):
    raise errors.UserError(
      f'streets: no domain {domain!r}, expected one of {domains.FORM}'
    )
  if view not in cameras.VIEWS:
    known = ', '.join(cameras.VIEWS)
    raise errors.UserError(
      f'streets: no view {view!r}, expected one of {known}'
    )


def _key(domain: str, seed: int, index: int) -> list[int]:
  return [seed, index, domains.place(domain)]


@functools.lru_cache(maxsize=2)
def scene(domain: str, *, seed: int, index: int) -> Scene:
  """Returns the scene number `index`, a pure function of its arguments.

  Args:
    domain: see `render`.
    seed: seed of the whole collection.
    index: number of the scene in the collection, from 0.

  Raises:
    UserError: the domain is unknown, or the seed or index is negative.
  """
  check_view(domain, 'left')
  if seed < 0 or index < 0:
    raise errors.UserError(
      f'streets: seed {seed} and index {index} must not be negative'
    )
  key = _key(domain, seed, index)
  style = domains.sample(domain, [*key, 3])
  rng, light, brush = (np.random.default_rng([*key, k]) for k in (0, 1, 4))
  textures = [style.textures.get(k, style.texture) for k in material.NAMES]
  return Scene(
    plan=layout.sample(rng, style, brush),
    look=looks.sample(light, style),
    textures=np.array(textures, np.float32),
  )


def camera(
  domain: str,
  *,
  seed: int,
  index: int,
  height: int,
  width: int,
  view: str = 'left',
) -> cameras.Camera:
  """Returns the camera of `render`, with the same arguments."""
  check_view(domain, view)
  plan = scene(domain, seed=seed, index=index).plan
  return cameras.Camera(
    focal=width / 2 / np.tan(plan.fov / 2),
    cx=(width - 1) / 2,
    cy=(height - 1) / 2,
    position=plan.position,
    pitch=plan.pitch,
    yaw=plan.yaw,
  ).seen_from(view, plan.turn)


def render(
  domain: str,
  *,
  seed: int,
  index: int,
  height: int,
  width: int,
  view: str = 'left',
) -> dict[str, np.ndarray]:
  """Draws one view of one scene, a pure function of its arguments.

  Args:
    domain: 'source' (a clean game engine), 'target' (a camera in a town),
      'wide' (the source, varied in every way) or 'wide-KIND', see
      `domains.wide`.
    seed: seed of the whole collection.
    index: number of the scene in the collection, from 0.
    height: number of rows.
    width: number of columns.
    view: 'left'; 'right', which is `camera.BASELINE` metres to the right and
      rectified; or 'previous' and 'next', `camera.STEP` metres back and ahead.
      Only the camera moves.

  Returns:
    image: uint8 [height, width, 3] RGB.
    label: uint8 [height, width] Cityscapes train ids 0..18, 255 = none.
    depth: float32 [height, width] metres along the optical axis; `FAR` in the
      sky.

  Raises:
    UserError: the domain or view is unknown, the size is below 8, or the seed
      or index is negative.
  """
  if min(height, width) < 8:
    raise errors.UserError(
      f'streets: size {height}x{width} is too small, at least 8x8'
    )
  size = {'height': height, 'width': width}
  eye = camera(domain, seed=seed, index=index, **size, view=view)
  current = scene(domain, seed=seed, index=index)
  drawing = _Drawing(current, eye, height, width)
  key = [*_key(domain, seed, index), 2, cameras.VIEWS.index(view)]
  # A tent filter over 3 x 3 samples, centred on the pixel centre.
  tent = np.array([0.25, 0.5, 0.25], np.float32)
  planes = [cv2.sepFilter2D(p, -1, tent, tent) for p in drawing.light()]
  light = cv2.merge([p[1::_GRID, 1::_GRID] for p in planes])
  rng = np.random.default_rng(key)
  return {
    'image': looks.expose(current.look, light, rng=rng),
    'label': drawing.label(),
    'depth': drawing.depth(),
  }


class _Drawing:
  """A scene on the sample grid of one camera."""

  def __init__(self, current: Scene, eye: cameras.Camera, height, width):
    self.faces, self.look = current.plan.faces, current.look
    self.scene, self.eye = current, eye
    # One additional sample at every border.
    shape = {'height': _GRID * height + 1, 'width': _GRID * width + 1}
    self.grid = dataclasses.replace(
      eye, focal=_GRID * eye.focal, cx=_GRID * eye.cx + 1, cy=_GRID * eye.cy + 1
    )
    self.polygons = raster.project(self.faces, self.grid, **shape)
    corners = self.faces.corners[self.polygons.face]
    edges = corners[:, [1, 3]] - corners[:, :1]
    self.axes = self._surface_axes(corners, edges)
    cuts = {
      'sprite': self.faces.sprite[self.polygons.face],
      'uv': self._sprite_axes(edges),
    }
    self.buffers = raster.draw(self.polygons, **cuts, **shape, empty=0.0)
    # The polygons that labels and depth refer to, at the pixel centres.
    self.front = raster.fill_gaps(
      self.polygons, self.buffers, **cuts, first=1, step=_GRID
    )

  def _surface_axes(self, corners, edges) -> np.ndarray:
    """Returns [P, 2, 4]: u and v in metres, linear in camera's (x, y, z, 1)."""
    # Flat faces have the axes of the world.
    flat = np.ptp(corners[..., 1], axis=1) < 1e-6
    axes = np.where(flat[:, None, None], [(1, 0, 0), (0, 0, 1)], edges)
    axes /= np.linalg.norm(axes, axis=2, keepdims=True).clip(1e-9)
    origin = np.where(flat[:, None], 0.0, corners[:, 0])
    rotation = self.eye.rotation
    shift = origin @ rotation.T + self.eye.extrinsic[:3, 3]
    axes = axes @ rotation.T
    return np.concatenate([axes, -(axes * shift[:, None]).sum(2)[..., None]], 2)

  def _sprite_axes(self, edges) -> np.ndarray:
    """Returns [P, 2, 3]: u and v in 0..1 times nearness, on the sample grid."""
    length = np.linalg.norm(edges, axis=2).clip(1e-9)[..., None]
    a, b, c, shift = np.moveaxis(self.axes, 2, 0)
    # Converts coefficients of (x, y, z) to those of (column, row, 1).
    a, b = a / self.grid.focal, b / self.grid.focal
    grid = np.stack([a, b, c - a * self.grid.cx - b * self.grid.cy], -1)
    plane = self.polygons.plane[:, None]
    return grid / length + (shift[..., None] / length) * plane

  def label(self) -> np.ndarray:
    """Returns the train ids at the pixel centres."""
    labels = self.faces.label[self.polygons.face]
    labels = np.append(labels, np.uint8(mesh.SKY))
    return labels[self.front]

  def depth(self) -> np.ndarray:
    """Returns the depth at the pixel centres, in metres."""
    plane = np.append(self.polygons.plane, [[0, 0, 1 / FAR]], 0)[self.front]
    y, x = (np.arange(1, n, _GRID) for n in self.buffers.polygon.shape)
    near = plane[..., 0] * x + plane[..., 1] * y[:, None] + plane[..., 2]
    return np.minimum(1 / near, FAR).astype(np.float32)

  def _at_samples(self, per_face: np.ndarray, empty: float) -> np.ndarray:
    """Returns a per-face value at every sample: [h, w] float32."""
    values = np.append(per_face[self.polygons.face], empty)
    return values.astype(np.float32)[self.buffers.polygon]

  def light(self) -> np.ndarray:
    """Returns the light at every sample: [3, h, w] float32."""
    look, grid, solid = self.look, self.grid, self.buffers.polygon >= 0
    height, width = solid.shape
    x = ((np.arange(width) - grid.cx) / grid.focal).astype(np.float32)
    y = ((np.arange(height) - grid.cy) / grid.focal).astype(np.float32)
    x, y = np.broadcast_arrays(x, y[:, None])
    z = 1 / np.where(solid, self.buffers.nearness, np.float32(1 / FAR))
    rotation = self.eye.rotation.astype(np.float32)
    rays = [
      rotation[0, k] * x + rotation[1, k] * y + rotation[2, k] for k in range(3)
    ]
    light = self._albedo(x, y, z)
    lit = self._lit(rays, z)
    clear = np.exp(-np.float32(look.haze) * z)
    for k, plane in enumerate(light):
      plane *= lit * np.float32(look.sunlight[k]) + np.float32(look.skylight[k])
      haze = np.float32(look.haze_color[k])
      plane -= haze
      plane *= clear
      plane += haze
    # Number of rows down to the last one with sky.
    rows = int(np.append(np.flatnonzero(~solid.all(1)), -1).max()) + 1
    if rows:
      sky = looks.paint_sky(look, [r[:rows] for r in rays])
      np.copyto(light[:, :rows], sky, where=~solid[:rows])
    return light

  def _albedo(self, x, y, z) -> np.ndarray:
    """Returns the albedo of the surface at every sample: [3, h, w] float32."""
    polygon, faces = self.buffers.polygon, self.faces
    axes = np.append(self.axes, np.zeros((1, 2, 4)), 0).astype(np.float32)
    axes = [np.ascontiguousarray(a)[polygon] for a in axes.reshape(-1, 8).T]
    u = z * (axes[0] * x + axes[1] * y + axes[2]) + axes[3]
    v = z * (axes[4] * x + axes[5] * y + axes[6]) + axes[7]
    # Metres per sample, from the distance of the surface's plane.
    (a, b, c), grid = self.polygons.plane.T, self.grid
    normal = [a * grid.focal, b * grid.focal, c + a * grid.cx + b * grid.cy]
    slant = np.linalg.norm(np.stack(normal, -1), axis=1)
    slant = np.minimum(np.append(slant, 1.0), 20.0) / grid.focal
    blur = z * z * slant.astype(np.float32)[polygon]
    # Every surface has noise of its own, but all pieces of the ground share it.
    ground = np.ptp(faces.corners[..., 1], axis=1) < 1e-6
    shift = np.where(ground, 0.0, 3.7 * np.arange(len(ground)))
    shift = self._at_samples(shift, 0.0)
    noise = [
      material.sample_noise(u + shift, v + shift, blur, level=k)
      for k in range(3)
    ]
    face = np.append(self.polygons.face, -1)[polygon].ravel()
    kind = np.append(faces.material, np.uint8(255))[face]
    out = np.zeros((3, polygon.size), np.float32)
    flat = [a.ravel() for a in (u, v, blur, *noise, self.buffers.part, face)]
    names = ('u', 'v', 'blur', 'fine', 'medium', 'coarse', 'part', 'face')
    for k in np.unique(faces.material[self.polygons.face]):
      here = np.flatnonzero(kind == k)
      if len(here):
        at = {n: a[here] for n, a in zip(names, flat, strict=True)}
        for name in ('fine', 'medium', 'coarse'):
          at[name] *= self.scene.textures[k]
        points = material.Points(
          **at,
          colors=faces.colors,
          sizes=faces.size,
        )
        albedo = np.maximum(material.evaluate(int(k), points), 0.01)
        for plane, values in zip(out, albedo, strict=True):
          plane[here] = values
    return out.reshape(3, *polygon.shape)

  def _lit(self, rays, z) -> np.ndarray:
    """Returns the share of sunlight at every sample: [h, w]."""
    look, place = self.look, self.eye.position
    lit = shadow.facing(self.faces, look.sun, eye=np.array(place))
    lit = self._at_samples(lit, 0.0)
    if not look.darkness:
      return lit
    points = [r * z + np.float32(p) for r, p in zip(rays, place, strict=True)]
    softness = {'darkness': look.darkness, 'softness': look.softness}
    return lit * shadow.cast(self.scene.shadows, points, **softness)
