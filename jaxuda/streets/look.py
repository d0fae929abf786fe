"""The light of a scene, its weather, and the artefacts of the camera."""

import dataclasses

import cv2
import numpy as np

from jaxuda.streets import material
from jaxuda.streets.domains import palette


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """The light of a scene and the characteristics of its camera.

  By default there are no clouds, no cast shadows and no camera artefacts.

  Attributes:
    sun: [3] direction to the sun in the world, of length 1.
    sunlight: [3] colour and strength of the sunlight.
    skylight: [3] colour and strength of the light from the sky.
    softness: blur of cast shadows as a share of the picture's width.
    darkness: share of the sunlight that cast shadows block, 0 = no shadows.
    zenith: [3] colour of the sky overhead.
    horizon: [3] colour of the sky at the horizon.
    clouds: contrast of the clouds.
    cloud_scale: how small the clouds are.
    climb: how fast the sky changes from the horizon's colour to the zenith's.
    glow: light around the sun.
    haze: share of the light lost per metre.
    haze_color: [3] colour that replaces the lost light.
    gain: [3] exposure and white balance.
    gamma: tone curve, value ** gamma.
    lift: [3] light that is added to black.
    saturation: factor of the saturation, 1 = unchanged.
    vignette: darkening in the corners, 0..1.
    blur: standard deviation as a share of the picture's width.
    noise: standard deviation of the sensor noise at white.
    quality: quality of the JPEG compression of the picture, 0 = none.
  """

  sun: np.ndarray
  sunlight: np.ndarray
  skylight: np.ndarray
  softness: float = 0.0
  darkness: float = 0.0
  zenith: np.ndarray
  horizon: np.ndarray
  clouds: float = 0.0
  cloud_scale: float = 55.0
  climb: float = 2.2
  glow: float = 0.0
  haze: float
  haze_color: np.ndarray
  gain: np.ndarray
  gamma: float = 1.0
  lift: np.ndarray
  saturation: float = 1.0
  vignette: float = 0.0
  blur: float = 0.0
  noise: float = 0.0
  quality: int = 0


# Values that a weather table may leave out.
_NEUTRAL = {
  **dict.fromkeys(('milk', 'milky', 'horizon_share', 'lift'), 0.0),
  **dict.fromkeys(('horizon_light', 'haze_light', 'exposure'), 1.0),
  **dict.fromkeys(('red', 'green', 'blue'), 1.0),
}
# Colour of the zenith in a fully milky sky.
_MILK = np.array([0.82, 0.88, 0.96])


def sample(rng: np.random.Generator, style: palette.Style) -> Look:
  """Samples the look of a scene.

  A weather table holds distributions, see `palette.draw`; they are drawn in the
  order of the table. Their names are those of `Look`, except for

  * sun: azimuth and elevation, in radians;
  * zenith: a colour times zenith_light;
  * horizon: a colour times horizon_light + horizon_share * zenith_light;
  * both of these are whitened by milk (0..1) times milky (0 or 1);
  * haze_color: the horizon's colour without milk, times haze_light;
  * gain: red, green and blue times exposure;
  * lift: one number for all three colours.

  Args:
    rng: source of randomness.
    style: style of the domain; its `weather` is sampled, and its `look`
      replaces fields of the result.
  """
  chances, tables = zip(*style.weather, strict=True)
  # A single weather needs no draw.
  pick = rng.choice(len(tables), p=chances) if len(tables) > 1 else 0
  table = tables[pick].items()
  drawn = _NEUTRAL | {k: palette.draw(rng, spread) for k, spread in table}
  azimuth, height = drawn['azimuth'], drawn['elevation']
  across, up = np.cos(height), np.sin(height)
  light = drawn['zenith_light']
  zenith = light * drawn['zenith']
  light = drawn['horizon_light'] + drawn['horizon_share'] * light
  horizon = light * drawn['horizon']
  milk = drawn['milky'] * drawn['milk']
  balance = np.array([drawn[k] for k in ('red', 'green', 'blue')])
  made = {
    'sun': np.array([np.sin(azimuth) * across, up, np.cos(azimuth) * across]),
    'zenith': zenith + milk * (_MILK - zenith),
    'horizon': horizon + 0.25 * milk,
    'haze_color': horizon * drawn['haze_light'],
    'gain': balance * drawn['exposure'],
    'lift': drawn['lift'] * np.array([0.9, 1.0, 1.05]),
  }
  fields = {field.name for field in dataclasses.fields(Look)}
  made = {k: v for k, v in drawn.items() if k in fields} | made
  return Look(**made | style.look)


def paint_sky(look: Look, directions: list[np.ndarray]) -> np.ndarray:
  """Returns the colours of the sky: float32 [3, h, w].

  Args:
    look: look of the scene.
    directions: X, Y and Z of world directions of any length, each [h, w].
  """
  x, y, z = directions
  length = np.sqrt(x * x + y * y + z * z)
  up = y / length
  height = np.clip(up * np.float32(look.climb), 0, 1)
  low, high = (
    c.astype(np.float32)[:, None, None] for c in (look.horizon, look.zenith)
  )
  color = low + (high - low) * height
  if look.clouds:
    # A layer of clouds one unit overhead.
    scale = np.float32(look.cloud_scale) / np.maximum(up, np.float32(0.06))
    cloud = material.sample_noise(
      x * scale, z * scale, np.zeros_like(x), level=2
    )
    color += np.float32(look.clouds) * np.clip(cloud, -0.3, 1)
  if look.glow:
    sun = look.sun.astype(np.float32)
    near = (sun[0] * x + sun[1] * y + sun[2] * z) / length
    color += np.float32(look.glow) * np.exp(np.float32(6.0) * (near - 1))
  return color


def expose(
  look: Look, color: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
  """Takes a photograph: turns light into the pixels of a picture.

  Args:
    look: look of the scene.
    color: [H, W, 3] float32 light.
    rng: source of the sensor noise.

  Returns:
    [H, W, 3] uint8 RGB.
  """
  height, width = color.shape[:2]
  if look.blur:
    color = cv2.GaussianBlur(color, (0, 0), look.blur * width)
  color = color * look.gain.astype(np.float32)
  if look.vignette:
    y = np.linspace(-1, 1, height, dtype=np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    radius = np.add.outer(y * y, x * x) / 2
    color = color * (1 - look.vignette * radius)[..., None]
  # A shoulder instead of clipped highlights.
  color = np.where(color > 0.8, 0.8 + 0.2 * np.tanh((color - 0.8) / 0.2), color)
  color = np.clip(color, 0, 1) ** np.float32(look.gamma)
  if look.saturation != 1.0:
    grey = color @ np.array([0.299, 0.587, 0.114], np.float32)
    color = grey[..., None] + look.saturation * (color - grey[..., None])
  lift = look.lift.astype(np.float32)
  color = lift + (1 - lift) * color
  if look.noise:
    grain = rng.standard_normal(color.shape, np.float32)
    color = color + look.noise * np.sqrt(np.clip(color, 0.05, 1)) * grain
  picture = np.clip(color * 255 + 0.5, 0, 255).astype(np.uint8)
  if look.quality:
    flags = [cv2.IMWRITE_JPEG_QUALITY, look.quality]
    data = cv2.imencode('.jpg', picture[..., ::-1], flags)[1]
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
  return np.ascontiguousarray(picture)
