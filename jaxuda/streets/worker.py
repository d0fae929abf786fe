"""Renders scenes in separate processes and returns them as encoded pictures.

The processes are started directly rather than with `multiprocessing`, whose
children import the main program again, and with it TensorFlow and JAX.
"""

from collections.abc import Iterator, Sequence
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
from typing import Any

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.streets import camera as cameras
from jaxuda.streets import street

# Bytes that a worker may produce ahead: a few scenes. Linux limits the pipes of
# a user to 64 MiB in total.
_AHEAD = 2**18
# Ctrl-C reaches the workers, too, which end without a traceback each.
_COMMAND = (
  'import signal; signal.signal(signal.SIGINT, signal.SIG_DFL);'
  ' from jaxuda.streets import worker; worker.serve()'
)


def _encode(picture: np.ndarray) -> bytes:
  if picture.ndim == 3:
    picture = picture[..., ::-1]
  done, data = cv2.imencode('.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
  if not done:
    raise RuntimeError('OpenCV could not encode a picture')
  return data.tobytes()


def encode_scene(
  domain: str,
  *,
  seed: int,
  index: int,
  height: int,
  width: int,
  views: Sequence[str] = (),
) -> dict[str, Any]:
  """Renders one scene, with `views` in addition to the left one.

  The other arguments are those of `street.render`.

  Returns:
    index: the index;
    image, label, depth: PNG files; depth in centimetres, 16 bits, 65535 = sky;
    <view>: for every further view, its image as a PNG file;
    intrinsics: focal length, cx, cy in pixels, float32 [3];
    motion_<view>: float32 [4, 4], from the left camera's frame to the view's.
  """
  which = {'seed': seed, 'index': index, 'height': height, 'width': width}
  drawn = street.render(domain, **which)
  centimetres = np.round(drawn['depth'].astype(np.float64) * 100)
  camera = street.camera(domain, **which)
  scene = {
    'index': index,
    'image': _encode(drawn['image']),
    'label': _encode(drawn['label']),
    'depth': _encode(centimetres.astype(np.uint16)),
    'intrinsics': np.array([camera.focal, camera.cx, camera.cy], np.float32),
  }
  for view in views:
    eye = street.camera(domain, **which, view=view)
    scene[view] = _encode(street.render(domain, **which, view=view)['image'])
    scene[f'motion_{view}'] = cameras.motion(camera, eye).astype(np.float32)
  return scene


def render_scenes(
  domain: str,
  indices: range,
  *,
  seed: int,
  height: int,
  width: int,
  workers: int,
  views: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
  """Renders scenes in several processes, in the order of `indices`.

  The result does not depend on `workers`, the number of processes. The other
  arguments are those of `encode_scene`.

  Yields:
    The same as `encode_scene` returns, for each index.

  Raises:
    UserError: a process died: it was killed or interrupted, or raised an error,
      which it has printed.
  """
  request = {'domain': domain, 'seed': seed, 'views': views}
  request |= {'height': height, 'width': width}
  processes = []
  try:
    for k in range(workers):
      processes.append(_start(indices[k::workers], request))
    for place, index in enumerate(indices):
      process = processes[place % workers]
      try:
        scene = pickle.load(process.stdout)
      except (EOFError, pickle.UnpicklingError) as e:
        raise errors.UserError(_explain(process, index)) from e
      yield scene
  finally:
    for process in processes:
      process.kill()
      process.wait()
      process.stdout.close()


def _explain(process, index):
  """Says how a process ended, or ends now that nobody reads its scenes."""
  process.stdout.close()
  code = process.wait()
  if code == -signal.SIGINT:
    return (
      f'rendering streets was interrupted at scene {index}; expected it to be'
      ' started again, which begins anew'
    )
  how = f'ended with exit status {code}'
  if code < 0:
    name = signal.Signals(-code).name
    how = f'was killed by {name}, perhaps for lack of memory,'
  return (
    f'a process that renders streets {how} at scene {index}; expected it to'
    ' render all of its scenes'
  )


def _start(indices: range, request: dict[str, Any]) -> subprocess.Popen:
  root = pathlib.Path(__file__).resolve().parents[2]
  paths = [str(root), os.environ.get('PYTHONPATH', '')]
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join(p for p in paths if p),
    # One thread each: there are as many workers as cores.
    'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    # Keeps freed memory: fresh pages take a tenth of the time (glibc only).
    'MALLOC_MMAP_THRESHOLD_': '1000000000',
    'MALLOC_TRIM_THRESHOLD_': '1000000000',
  }
  places = indices.start, indices.stop, indices.step
  return subprocess.Popen(
    [sys.executable, '-c', _COMMAND, json.dumps([places, request])],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    pipesize=_AHEAD,
    env=environment,
  )


def serve() -> None:
  """Writes the scenes requested in `sys.argv` to stdout, one pickle each."""
  cv2.setNumThreads(1)
  places, request = json.loads(sys.argv[1])
  for index in range(*places):
    pickle.dump(encode_scene(index=index, **request), sys.stdout.buffer)
    sys.stdout.buffer.flush()
