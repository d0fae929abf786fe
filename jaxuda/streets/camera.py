"""The pinhole camera, its stereo partner and its motion.

World coordinates: X to the right, Y up, Z along the road, in metres, with the
ground at Y = 0. Camera coordinates: x to the right, y down, z along the optical
axis, in metres. Pixel centres have integer coordinates; (0, 0) is at the top
left.
"""

import dataclasses

import numpy as np

# Distance between the left and the right camera, metres. Wider than the 0.22 m
# of Cityscapes, so that small pictures still have useful disparities.
BASELINE = 0.4

# Distance that the car drives between two frames, metres.
STEP = 0.5

VIEWS = ('left', 'right', 'previous', 'next')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
  """A camera on a car.

  Attributes:
    focal: focal length in x and y, pixels.
    cx: column of the principal point, pixels.
    cy: row of the principal point, pixels.
    position: X, Y, Z of the optical centre, metres; Y is its height above the
      road.
    pitch: angle below the horizon, radians.
    yaw: angle to the right of the Z axis, radians.
  """

  focal: float
  cx: float
  cy: float
  position: tuple[float, float, float]
  pitch: float
  yaw: float

  @property
  def rotation(self) -> np.ndarray:
    """Matrix [3, 3] whose rows are the camera's x, y, z axes in the world."""
    sin_p, cos_p = np.sin(self.pitch), np.cos(self.pitch)
    sin_y, cos_y = np.sin(self.yaw), np.cos(self.yaw)
    right = (cos_y, 0.0, -sin_y)
    down = (-sin_y * sin_p, -cos_p, -cos_y * sin_p)
    ahead = (sin_y * cos_p, -sin_p, cos_y * cos_p)
    return np.array([right, down, ahead])

  @property
  def extrinsic(self) -> np.ndarray:
    """Matrix [4, 4] that maps world points to camera points."""
    matrix = np.eye(4)
    matrix[:3, :3] = self.rotation
    matrix[:3, 3] = -self.rotation @ np.array(self.position)
    return matrix

  def seen_from(self, view: str, turn: float = 0.0) -> 'Camera':
    """Returns the camera of another view.

    Args:
      view: one of `VIEWS`.
      turn: angle by which the car turns right between two frames, radians.

    Returns:
      For 'right', the same camera `BASELINE` metres to the right; for
      'previous' and 'next', a camera `STEP` metres back or ahead, and turned.
    """
    if view == 'left':
      return self
    if view == 'right':
      place, yaw = self.position + BASELINE * self.rotation[0], self.yaw
    else:
      sign = {'previous': -1.0, 'next': 1.0}[view]
      heading, yaw = self.yaw + sign * turn / 2, self.yaw + sign * turn
      x, y, z = self.position
      step = sign * STEP
      place = (x + step * np.sin(heading), y, z + step * np.cos(heading))
    position = tuple(float(p) for p in place)
    return dataclasses.replace(self, position=position, yaw=yaw)


def motion(current: Camera, other: Camera) -> np.ndarray:
  """Returns the matrix [4, 4] from one camera's coordinates to another's."""
  return other.extrinsic @ np.linalg.inv(current.extrinsic)
