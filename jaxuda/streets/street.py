"""Draws a street: a picture, its labels and its depth."""

import dataclasses
import functools

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.streets import camera as cameras
from jaxuda.streets import classes
from jaxuda.streets import layout
from jaxuda.streets import look as looks
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import raster
from jaxuda.streets import shadow

# Depth of the sky, metres: the largest a uint16 of centimetres can hold.
FAR = 655.35

# Samples per pixel and direction. Pixel centres are samples, so that labels
# and depth are exact there.
_GRID = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
  """A street, its light and the camera in it, at no particular size."""

  domain: str
  plan: layout.Layout
  look: looks.Look
  texture: float

  @property
  def faces(self) -> mesh.Faces:
    """The surfaces."""
    return self.plan.faces

  @functools.cached_property
  def shadows(self) -> shadow.Map:
    """What is in the sun's way."""
    return shadow.draw_map(self.plan.faces, self.look.sun)


@functools.lru_cache(maxsize=2)
def scene(domain: str, *, seed: int, index: int) -> Scene:
  """The scene number `index`, a pure function of its arguments.

  Args:
    domain: 'source' or 'target'.
    seed: of the whole collection.
    index: which scene of it, from 0.

  Returns:
    The scene.

  Raises:
    UserError: unknown domain, or negative seed or index.
  """
  cameras.check_view(domain, 'left')
  if seed < 0 or index < 0:
    raise errors.UserError(
      f'streets: seed {seed} and index {index} must not be negative'
    )
  style = palette.STYLES[domain]
  key = [seed, index, cameras.DOMAINS.index(domain)]
  plan = layout.sample(np.random.default_rng([*key, 0]), style)
  rng = np.random.default_rng([*key, 1])
  return Scene(
    domain=domain,
    plan=plan,
    look=looks.sample(rng, domain, style=style),
    texture=style.texture,
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
  """The camera that `render` looks through; arguments as there."""
  cameras.check_view(domain, view)
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
    domain: 'source' (a clean game engine) or 'target' (a camera in a town).
    seed: of the whole collection.
    index: which scene of it, from 0.
    height: rows.
    width: columns.
    view: 'left'; 'right', `camera.BASELINE` to the right and rectified; or
      'previous' and 'next', `camera.STEP` back and ahead. Nothing but the
      camera moves.

  Returns:
    image: uint8 [height, width, 3] RGB.
    label: uint8 [height, width] Cityscapes train ids 0..18, 255 = none.
    depth: float32 [height, width] metres along the optical axis; `FAR` in the
      sky.

  Raises:
    UserError: unknown domain or view, a size below 8, a negative seed or index.
  """
  if min(height, width) < 8:
    raise errors.UserError(
      f'streets: size {height}x{width} is too small, at least 8x8'
    )
  current = scene(domain, seed=seed, index=index)
  eye = camera(
    domain, seed=seed, index=index, height=height, width=width, view=view
  )
  drawing = _Drawing(current, eye, height, width)
  rng = np.random.default_rng(
    [seed, index, cameras.DOMAINS.index(domain), 2, cameras.VIEWS.index(view)]
  )
  # A tent over 3 x 3 samples, centred on the pixel centre.
  tent = np.array([0.25, 0.5, 0.25], np.float32)
  light = cv2.merge(
    [
      cv2.sepFilter2D(p, -1, tent, tent)[1::_GRID, 1::_GRID]
      for p in drawing.light()
    ]
  )
  return {
    'image': looks.expose(current.look, light, rng=rng),
    'label': drawing.label(),
    'depth': drawing.depth(),
  }


class _Drawing:
  """A scene on the sample grid of one camera."""

  def __init__(self, current: Scene, eye: cameras.Camera, height, width):
    self.scene = current
    self.eye = eye
    # One sample more than the pixels on every border.
    self.height, self.width = _GRID * height + 1, _GRID * width + 1
    self.focal = _GRID * eye.focal
    self.cx, self.cy = _GRID * eye.cx + 1, _GRID * eye.cy + 1
    self.polygons = raster.project(
      current.faces,
      extrinsic=eye.extrinsic,
      focal=self.focal,
      cx=self.cx,
      cy=self.cy,
      height=self.height,
      width=self.width,
    )
    self.axes = self._surface_axes()
    faces = self.polygons.face
    self.buffers = raster.draw(
      self.polygons,
      sprite=current.faces.sprite[faces],
      uv=self._sprite_axes(),
      height=self.height,
      width=self.width,
      empty=0.0,
    )

  def _surface_axes(self) -> np.ndarray:
    """[P, 2, 4]: u and v in metres as (x, y, z, 1) . point of the camera."""
    corners = self.scene.faces.corners[self.polygons.face]
    along = corners[:, 1] - corners[:, 0]
    up = corners[:, 3] - corners[:, 0]
    # A face with two equal corners, or a flat one: world axes.
    flat = np.ptp(corners[..., 1], axis=1) < 1e-6
    along[flat], up[flat] = (1, 0, 0), (0, 0, 1)
    axes = np.stack([along, up], 1)
    axes /= np.linalg.norm(axes, axis=2, keepdims=True).clip(1e-9)
    origin = np.where(flat[:, None], 0.0, corners[:, 0])
    rotation = self.eye.rotation
    shift = origin @ rotation.T + self.eye.extrinsic[:3, 3]
    axes = axes @ rotation.T
    return np.concatenate([axes, -(axes * shift[:, None]).sum(2)[..., None]], 2)

  def _sprite_axes(self) -> np.ndarray:
    """[P, 2, 3]: u and v in 0..1, times nearness, on the sample grid."""
    corners = self.scene.faces.corners[self.polygons.face]
    length = np.stack(
      [
        np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1),
        np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1),
      ],
      1,
    ).clip(1e-9)
    return (
      _on_grid(self.axes, self) / length[..., None]
      + (self.axes[..., 3] / length)[..., None] * self.polygons.plane[:, None]
    )

  def label(self) -> np.ndarray:
    """Train ids at the pixel centres."""
    labels = self.scene.faces.label[self.polygons.face]
    labels = np.append(labels, np.uint8(classes.SKY))
    return labels[self.buffers.polygon[1::_GRID, 1::_GRID]]

  def depth(self) -> np.ndarray:
    """Metres at the pixel centres."""
    polygon = self.buffers.polygon[1::_GRID, 1::_GRID]
    plane = np.append(self.polygons.plane, [[0, 0, 1 / FAR]], 0)[polygon]
    x = np.arange(1, self.width, _GRID)
    y = np.arange(1, self.height, _GRID)
    near = plane[..., 0] * x + plane[..., 1] * y[:, None] + plane[..., 2]
    return np.minimum(1 / near, FAR).astype(np.float32)

  def light(self) -> np.ndarray:
    """Light that reaches the camera at every sample, [3, h, w] float32."""
    look, polygon = self.scene.look, self.buffers.polygon
    x = ((np.arange(self.width) - self.cx) / self.focal).astype(np.float32)
    y = ((np.arange(self.height) - self.cy) / self.focal).astype(np.float32)
    x, y = np.broadcast_arrays(x, y[:, None])
    solid = polygon >= 0
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
    # The rows that have sky.
    rows = int(np.append(np.flatnonzero(~solid.all(1)), -1).max()) + 1
    if rows:
      sky = looks.paint_sky(look, [r[:rows] for r in rays])
      np.copyto(light[:, :rows], sky, where=~solid[:rows])
    return light

  def _albedo(self, x, y, z) -> np.ndarray:
    """Albedo of the surface at every sample, [3, h, w] float32."""
    polygon, faces = self.buffers.polygon, self.scene.faces
    axes = np.append(self.axes, np.zeros((1, 2, 4)), 0).astype(np.float32)
    axes = [np.ascontiguousarray(a)[polygon] for a in axes.reshape(-1, 8).T]
    u = z * (axes[0] * x + axes[1] * y + axes[2]) + axes[3]
    v = z * (axes[4] * x + axes[5] * y + axes[6]) + axes[7]
    # Metres per sample, from the distance of the surface's plane.
    slant = np.linalg.norm(_in_space(self.polygons.plane, self), axis=1)
    slant = np.minimum(np.append(slant, 1.0), 20.0) / self.focal
    blur = z * z * slant.astype(np.float32)[polygon]
    # No two surfaces have the same noise, but all pieces of the ground do.
    ground = np.ptp(faces.corners[..., 1], axis=1) < 1e-6
    shift = np.where(ground, 0.0, 3.7 * np.arange(len(ground)))
    shift = np.append(shift[self.polygons.face], 0.0)
    shift = shift.astype(np.float32)[polygon]
    noise = [
      material.sample_noise(u + shift, v + shift, blur, level=k)
      * np.float32(self.scene.texture)
      for k in range(3)
    ]
    face = np.append(self.polygons.face, -1)[polygon].ravel()
    kinds = np.append(faces.material, np.uint8(255))
    kind = kinds[face]
    out = np.zeros((3, polygon.size), np.float32)
    flat = [a.ravel() for a in (u, v, blur, *noise, self.buffers.part, face)]
    names = ('u', 'v', 'blur', 'fine', 'medium', 'coarse', 'part', 'face')
    for k in np.unique(faces.material[self.polygons.face]):
      here = np.flatnonzero(kind == k)
      if len(here):
        points = material.Points(
          **{n: a[here] for n, a in zip(names, flat, strict=True)},
          colors=faces.colors,
          sizes=faces.size,
        )
        albedo = np.maximum(material.evaluate(int(k), points), 0.01)
        for plane, values in zip(out, albedo, strict=True):
          plane[here] = values
    return out.reshape(3, *polygon.shape)

  def _lit(self, rays, z) -> np.ndarray:
    """Share of the sunlight at every sample."""
    faces, polygon = self.scene.faces, self.buffers.polygon
    look = self.scene.look
    eye = np.array(self.eye.position)
    lit = shadow.facing(faces, look.sun, eye=eye)[self.polygons.face]
    lit = np.append(lit, 0.0).astype(np.float32)[polygon]
    if not look.darkness:
      return lit
    points = [
      r * z + np.float32(p)
      for r, p in zip(rays, self.eye.position, strict=True)
    ]
    return lit * shadow.cast(
      self.scene.shadows,
      points,
      darkness=look.darkness,
      softness=look.softness,
    )


def _on_grid(axes: np.ndarray, drawing: _Drawing) -> np.ndarray:
  """(x, y, z) coefficients as those of (column, row, 1), [..., 3]."""
  a, b = axes[..., 0] / drawing.focal, axes[..., 1] / drawing.focal
  return np.stack([a, b, axes[..., 2] - a * drawing.cx - b * drawing.cy], -1)


def _in_space(plane: np.ndarray, drawing: _Drawing) -> np.ndarray:
  """The inverse of `_on_grid`: plane normals over their distance, [P, 3]."""
  a, b, c = plane.T
  return np.stack(
    [
      a * drawing.focal,
      b * drawing.focal,
      c + a * drawing.cx + b * drawing.cy,
    ],
    -1,
  )
