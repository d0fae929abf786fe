"""Records a run: JSON lines, TensorBoard, pictures.

Importing this loads TensorFlow, through clu's metric writers.
"""

from collections.abc import Mapping
import json
import math
import os
import pathlib
from typing import Any

from clu import metric_writers
import numpy as np

from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import files
from jaxuda.ui import panels


class Recorder:
  """A context manager that writes the numbers and pictures of one run."""

  def __init__(self, workdir: str | os.PathLike, *, write: bool = True):
    """Opens no file before the context is entered, and none without `write`.

    Only the first process writes.
    """
    self._workdir = pathlib.Path(workdir)
    self._write = write

  def __enter__(self) -> 'Recorder':
    if self._write:
      self._workdir.mkdir(parents=True, exist_ok=True)
      self._lines = self._workdir / 'metrics.jsonl'
      self._lines.touch()
      writer = metric_writers.SummaryWriter(str(self._workdir))
      self._events = metric_writers.AsyncWriter(writer)
    return self

  def __exit__(self, *unused: Any) -> None:
    if self._write:
      self._events.close()

  def write_scalars(
    self, step: int, kind: str, values: Mapping[str, float]
  ) -> None:
    """Writes numbers as one line of JSON, and to TensorBoard.

    `kind` is 'train' or 'eval'.
    """
    if not self._write:
      return
    line = {'kind': kind, 'step': step, **workdir_lib.jsonable(values)}
    files.append_line(self._lines, json.dumps(line))
    scalars = {f'{kind}/{k}': v for k, v in values.items() if v is not None}
    self._events.write_scalars(step, scalars)

  def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB to pictures/NAME_STEP.png and TensorBoard."""
    if not self._write:
      return
    path = self._workdir / 'pictures' / f'{name}_{step:07d}.png'
    panels.write_png(path, picture)
    self._events.write_images(step, {name: picture[None]})

  def write_text(self, step: int, name: str, text: str) -> None:
    """Writes a text to TensorBoard."""
    if self._write:
      self._events.write_texts(step, {name: text})


def cut_lines(workdir: str | os.PathLike, *, step: int, evaluated: int) -> None:
  """Removes from metrics.jsonl the lines that a resumed run will write again.

  Args:
    workdir: the run's folder.
    step: the step that the run resumes from. Later lines are removed, as is a
      last line that a killed process left incomplete.
    evaluated: the step of the last finished evaluation. Lines of later ones are
      removed.
  """
  path = pathlib.Path(workdir) / 'metrics.jsonl'
  if not path.is_file():
    return
  latest = {'train': step, 'eval': min(step, evaluated)}
  lines = workdir_lib.read_lines(path)
  # Lines without a step, or of another kind, were not written by a run.
  workdir_lib.write_lines(
    path,
    (
      x
      for x in lines
      if x.get('step', math.inf) <= latest.get(x.get('kind'), -1)
    ),
  )
