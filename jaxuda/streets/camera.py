"""The pinhole camera, its stereo partner and its drive.

World: X to the right, Y up, Z along the road, metres, ground at Y = 0.
Camera: x to the right, y down, z along the optical axis, metres. A pixel
centre has integer coordinates, (0, 0) at the top left.
"""

import dataclasses

import numpy as np

# Distance between the left and the right camera, metres. Wider than the 0.22 m
# of Cityscapes, so that small pictures still have useful disparities.
BASELINE = 0.4

# How far the car drives between two frames, metres.
STEP = 0.5

VIEWS = ('left', 'right', 'previous', 'next')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
  """A camera on a car.

  Attributes:
    focal: focal length, pixels, the same in x and y.
    cx: column of the principal point, pixels.
    cy: row of the principal point, pixels.
    position: X, Y, Z of the optical centre, metres; Y is its height over the
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
  def matrix(self) -> np.ndarray:
    """The intrinsic matrix, [3, 3]."""
    return np.array(
      [[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1.0]]
    )

  @property
  def rotation(self) -> np.ndarray:
    """[3, 3] with the camera's x, y and z axes in the world as its rows."""
    sin_p, cos_p = np.sin(self.pitch), np.cos(self.pitch)
    sin_y, cos_y = np.sin(self.yaw), np.cos(self.yaw)
    right = (cos_y, 0.0, -sin_y)
    down = (-sin_y * sin_p, -cos_p, -cos_y * sin_p)
    ahead = (sin_y * cos_p, -sin_p, cos_y * cos_p)
    return np.array([right, down, ahead])

  @property
  def extrinsic(self) -> np.ndarray:
    """[4, 4] that takes world points to camera points."""
    matrix = np.eye(4)
    matrix[:3, :3] = self.rotation
    matrix[:3, 3] = -self.rotation @ np.array(self.position)
    return matrix

  def seen_from(self, view: str, turn: float = 0.0) -> 'Camera':
    """Returns the camera of another view.

    Args:
      view: one of `VIEWS`.
      turn: how far the car turns to the right between two frames, radians.

    Returns:
      The right camera is `BASELINE` to the right and otherwise the same; the
      next one is `STEP` further along the heading, and turned.
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
  """Returns [4, 4] that takes points of one camera's frame to another's."""
  return other.extrinsic @ np.linalg.inv(current.extrinsic)
