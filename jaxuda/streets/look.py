"""Light, weather and the camera's own marks, per domain."""

import dataclasses

import cv2
import numpy as np

from jaxuda.streets import material
from jaxuda.streets import palette


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """The light of a scene and the habits of its camera.

  Attributes:
    sun: [3] direction to the sun, world.
    sunlight: [3] its colour and strength.
    skylight: [3] the same of the sky.
    softness: blur of cast shadows as a share of the picture's width.
    darkness: share of the sunlight that they take, 0 = no cast shadows.
    zenith: [3] sky overhead.
    horizon: [3] sky at the horizon.
    clouds: contrast of the clouds.
    haze: share of the light lost per metre.
    haze_color: [3] what replaces it.
    gain: [3] exposure and white balance.
    gamma: tone curve, value ** gamma.
    lift: [3] what is added to black.
    saturation: 1 = as it is.
    vignette: darkening in the corners, 0..1.
    blur: standard deviation as a share of the picture's width.
    noise: standard deviation of sensor noise at white.
    quality: of the JPEG that the picture has been through, 0 = none.
  """

  sun: np.ndarray
  sunlight: np.ndarray
  skylight: np.ndarray
  softness: float
  darkness: float
  zenith: np.ndarray
  horizon: np.ndarray
  clouds: float
  haze: float
  haze_color: np.ndarray
  gain: np.ndarray
  gamma: float
  lift: np.ndarray
  saturation: float
  vignette: float
  blur: float
  noise: float
  quality: int


def _direction(azimuth: float, elevation: float) -> np.ndarray:
  return np.array(
    [
      np.sin(azimuth) * np.cos(elevation),
      np.sin(elevation),
      np.cos(azimuth) * np.cos(elevation),
    ]
  )


def sample(
  rng: np.random.Generator, domain: str, *, style: palette.Style
) -> Look:
  """Samples the look of a scene."""
  if domain == 'source':
    return _sample_clean(rng)
  return _sample_photo(rng, overcast=rng.random() < style.chance['overcast'])


def _sample_clean(rng: np.random.Generator) -> Look:
  """A game engine by day: some exposures, a clear or a milky sky."""
  milk = rng.choice((0.0, rng.uniform(0.2, 0.8)))
  zenith = np.array([0.22, 0.46, 0.90]) * rng.uniform(0.9, 1.1)
  zenith += milk * (np.array([0.82, 0.88, 0.96]) - zenith)
  return Look(
    sun=_direction(rng.uniform(0, 6.28), rng.uniform(0.8, 1.2)),
    sunlight=np.array([0.50, 0.48, 0.44]),
    skylight=np.array([0.60, 0.62, 0.66]),
    softness=0.0,
    darkness=0.0,
    zenith=zenith,
    horizon=np.array([0.62, 0.80, 0.98]) + 0.25 * milk,
    clouds=0.0,
    haze=0.0006,
    haze_color=np.array([0.62, 0.80, 0.98]),
    gain=np.full(3, rng.uniform(0.75, 1.1)),
    gamma=1.0,
    lift=np.zeros(3),
    saturation=1.0,
    vignette=0.0,
    blur=0.0,
    noise=0.0,
    quality=0,
  )


def _sample_photo(rng: np.random.Generator, *, overcast: bool) -> Look:
  """A camera behind a windscreen in some weather."""
  grey = rng.uniform(0.72, 0.95)
  if overcast:
    sun, strength, sky = _direction(rng.uniform(0, 6.28), 1.35), 0.38, 0.62
    zenith = grey * np.array([0.92, 0.97, 1.03])
    horizon = (grey + 0.08) * np.array([0.99, 0.99, 0.98])
    softness, darkness, clouds = 0.006, 0.75, rng.uniform(0.04, 0.16)
    warm = np.array([1.0, 1.0, 1.0])
  else:
    azimuth = rng.uniform(0, 6.28)
    sun, strength, sky = (
      _direction(azimuth, rng.uniform(0.45, 0.95)),
      0.92,
      0.46,
    )
    zenith = np.array([0.46, 0.64, 0.88]) * rng.uniform(0.8, 1.1)
    horizon = np.array([0.84, 0.89, 0.92])
    softness, darkness, clouds = 0.0, 1.0, rng.uniform(0.0, 0.35)
    warm = np.array([1.06, 1.0, 0.88])
  # Dearer in one direction than in the other: most cameras are a bit yellow
  # or green.
  balance = np.array(
    [rng.uniform(0.88, 1.12), rng.uniform(0.96, 1.07), rng.uniform(0.76, 1.02)]
  )
  return Look(
    sun=sun,
    sunlight=strength * warm,
    skylight=sky * np.array([0.92, 1.0, 1.08]),
    softness=softness,
    darkness=darkness,
    zenith=zenith,
    horizon=horizon,
    clouds=clouds,
    haze=float(np.exp(rng.uniform(np.log(0.0015), np.log(0.011)))),
    haze_color=horizon * rng.uniform(0.85, 1.0),
    gain=balance * np.exp(rng.uniform(-0.28, 0.30)),
    gamma=rng.uniform(0.82, 1.2),
    lift=rng.uniform(0.0, 0.05) * np.array([0.9, 1.0, 1.05]),
    saturation=rng.uniform(0.6, 0.95),
    vignette=rng.uniform(0.05, 0.35),
    blur=rng.uniform(0.001, 0.0022),
    noise=rng.uniform(0.006, 0.02),
    quality=int(rng.integers(55, 90)),
  )


def paint_sky(look: Look, directions: list[np.ndarray]) -> np.ndarray:
  """Colours of the sky.

  Args:
    look: the weather.
    directions: X, Y and Z of world directions of any length, each [h, w].

  Returns:
    [3, h, w] float32.
  """
  x, y, z = directions
  up = y / np.sqrt(x * x + y * y + z * z)
  height = np.clip(up * np.float32(2.2), 0, 1)
  low, high = (
    c.astype(np.float32)[:, None, None] for c in (look.horizon, look.zenith)
  )
  color = low + (high - low) * height
  if look.clouds:
    # A layer of clouds one unit overhead.
    scale = np.float32(55.0) / np.maximum(up, np.float32(0.06))
    cloud = material.sample_noise(
      x * scale, z * scale, np.zeros_like(x), level=2
    )
    color += np.float32(look.clouds) * np.clip(cloud, -0.3, 1)
  return color


def expose(
  look: Look, color: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
  """The camera: from light to the bytes of a picture.

  Args:
    look: the camera's habits.
    color: [H, W, 3] float32 light.
    rng: source of the sensor noise.

  Returns:
    [H, W, 3] uint8 RGB.
  """
  height, width = color.shape[:2]
  if look.blur:
    sigma = look.blur * width
    color = cv2.GaussianBlur(color, (0, 0), sigma)
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
    strength = look.noise * np.sqrt(np.clip(color, 0.05, 1))
    color = color + strength * grain
  picture = np.clip(color * 255 + 0.5, 0, 255).astype(np.uint8)
  if look.quality:
    flags = [cv2.IMWRITE_JPEG_QUALITY, look.quality]
    data = cv2.imencode('.jpg', picture[..., ::-1], flags)[1]
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
  return np.ascontiguousarray(picture)
