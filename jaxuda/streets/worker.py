"""Scenes as encoded pictures, rendered in processes of their own.

Processes are started by hand rather than with `multiprocessing`, whose children
import the main program again, and with it TensorFlow and JAX.
"""

from collections.abc import Iterator, Sequence
import contextlib
import json
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
from typing import Any

import cv2
import numpy as np

from jaxuda.streets import camera as cameras
from jaxuda.streets import street

# Scenes that a worker may be ahead.
_AHEAD = 8
_COMMAND = 'from jaxuda.streets import worker; worker.serve()'


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
  """Renders one scene; arguments as of `street.render`.

  Args:
    domain: the domain.
    seed: seed of the collection.
    index: which scene.
    height: rows.
    width: columns.
    views: the views besides the left one.

  Returns:
    index: the index;
    image, label, depth: PNG files; depth in centimetres, 16 bits, 65535 = sky;
    the name of every other view: its image as a PNG file;
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
  """Renders scenes in several processes, in the order of their indices.

  Args:
    domain: the domain, see `street.render`.
    indices: which scenes.
    seed: seed of the collection.
    height: rows.
    width: columns.
    workers: number of processes; the result does not depend on it.
    views: the views besides the left one.

  Yields:
    What `encode_scene` returns.

  Raises:
    RuntimeError: a process died.
  """
  request = {'domain': domain, 'seed': seed, 'height': height, 'width': width}
  request['views'] = views
  processes, queues, threads = [], [], []
  try:
    for k in range(workers):
      processes.append(_start(indices[k::workers], request))
      queues.append(queue.Queue(_AHEAD))
      pair = processes[k], queues[k]
      threads.append(threading.Thread(target=_receive, args=pair, daemon=True))
      threads[k].start()
    for place, index in enumerate(indices):
      scene = queues[place % workers].get()
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


def _start(indices: range, request: dict[str, Any]) -> subprocess.Popen:
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
  places = indices.start, indices.stop, indices.step
  return subprocess.Popen(
    [sys.executable, '-c', _COMMAND, json.dumps([places, request])],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    env=environment,
  )


def serve() -> None:
  """Writes the scenes of a request in `sys.argv` to stdout, one pickle each."""
  cv2.setNumThreads(1)
  places, request = json.loads(sys.argv[1])
  for index in range(*places):
    pickle.dump(encode_scene(index=index, **request), sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _receive(process: subprocess.Popen, scenes: queue.Queue) -> None:
  """Puts what a process sends into a queue, and None at its end."""
  with contextlib.suppress(EOFError, pickle.UnpicklingError):
    while True:
      scenes.put(pickle.load(process.stdout))
  scenes.put(None)
