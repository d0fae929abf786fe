"""Renders scenes in processes of their own, as encoded pictures.

`python -m jaxuda.streets.worker '<request as JSON>'` writes one pickle
per scene to its standard output. Processes are started by hand rather than
with `multiprocessing`, whose children import the main program again, and with
it TensorFlow and JAX.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading

import cv2
import numpy as np

from jaxuda.streets import camera as cameras
from jaxuda.streets import street

# Scenes that a worker may be ahead.
_AHEAD = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """Scenes to render: `start`, `start + step`, ... below `stop`.

  Attributes:
    domain: 'source' or 'target'.
    seed: of the collection.
    height: rows.
    width: columns.
    views: the views besides the left one.
    start: first index.
    stop: where the indices end.
    step: between indices.
  """

  domain: str
  seed: int
  height: int
  width: int
  views: tuple[str, ...] = ()
  start: int
  stop: int
  step: int = 1


def _encode(picture: np.ndarray) -> bytes:
  if picture.ndim == 3:
    picture = picture[..., ::-1]
  done, data = cv2.imencode('.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
  if not done:
    raise RuntimeError('OpenCV could not encode a picture')
  return data.tobytes()


def encode_scene(request: Request, index: int) -> dict[str, object]:
  """Renders one scene.

  Args:
    request: what to render of it.
    index: which scene.

  Returns:
    index: the index;
    image, label, depth: PNG files; depth in centimetres, 16 bits, 65535 = sky;
    the name of every other view: its image as a PNG file;
    intrinsics: focal length, cx, cy in pixels, float32 [3];
    motion_<view>: float32 [4, 4], from the left camera's frame to the view's.
  """
  size = {
    'seed': request.seed,
    'index': index,
    'height': request.height,
    'width': request.width,
  }
  drawn = street.render(request.domain, **size)
  centimetres = np.round(drawn['depth'].astype(np.float64) * 100)
  camera = street.camera(request.domain, **size)
  scene = {
    'index': index,
    'image': _encode(drawn['image']),
    'label': _encode(drawn['label']),
    'depth': _encode(centimetres.astype(np.uint16)),
    'intrinsics': np.array([camera.focal, camera.cx, camera.cy], np.float32),
  }
  for view in request.views:
    other = street.render(request.domain, view=view, **size)
    eye = street.camera(request.domain, view=view, **size)
    scene[view] = _encode(other['image'])
    scene[f'motion_{view}'] = cameras.motion(camera, eye).astype(np.float32)
  return scene


def render_scenes(
  request: Request, *, workers: int
) -> Iterator[dict[str, object]]:
  """Renders scenes in several processes, in the order of their indices.

  Args:
    request: which scenes; its `step` is ignored.
    workers: number of processes; the result does not depend on it.

  Yields:
    What `encode_scene` returns.
  """
  processes, queues, threads = [], [], []
  try:
    for k in range(workers):
      share = dataclasses.replace(
        request, start=request.start + k, step=workers
      )
      processes.append(_start(share))
      queues.append(queue.Queue(_AHEAD))
      threads.append(
        threading.Thread(
          target=_receive, args=(processes[-1], queues[-1]), daemon=True
        )
      )
      threads[-1].start()
    for index in range(request.start, request.stop):
      scene = queues[(index - request.start) % workers].get()
      if scene is None:
        raise RuntimeError(f'a process that renders streets died at {index}')
      yield scene
  finally:
    for process in processes:
      process.kill()
      process.wait()
    for waiting, thread in zip(queues, threads, strict=True):
      while thread.is_alive():
        # Empties a full queue, so that the thread sees the end of the pipe.
        with contextlib.suppress(queue.Empty):
          waiting.get(timeout=0.05)
    for process in processes:
      process.stdout.close()


def _start(request: Request) -> subprocess.Popen:
  root = pathlib.Path(__file__).resolve().parents[2]
  paths = [str(root), os.environ.get('PYTHONPATH', '')]
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join(p for p in paths if p),
    # One thread each: there are as many workers as cores.
    'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    # Keeps freed memory: fresh pages are a tenth of the time (glibc only).
    'MALLOC_MMAP_THRESHOLD_': '1000000000',
    'MALLOC_TRIM_THRESHOLD_': '1000000000',
  }
  return subprocess.Popen(
    [sys.executable, '-m', __name__, json.dumps(dataclasses.asdict(request))],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    env=environment,
  )


def _receive(process: subprocess.Popen, scenes: queue.Queue) -> None:
  """Puts what a process sends into a queue, and None at its end."""
  while True:
    try:
      scenes.put(pickle.load(process.stdout))
    except (EOFError, pickle.UnpicklingError):
      scenes.put(None)
      return


def _main() -> None:
  cv2.setNumThreads(1)
  request = json.loads(sys.argv[1])
  request = Request(**request | {'views': tuple(request['views'])})
  for index in range(request.start, request.stop, request.step):
    pickle.dump(encode_scene(request, index), sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == '__main__':
  _main()
