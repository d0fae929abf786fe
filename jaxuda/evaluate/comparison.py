"""Whether the scores of runs may stand side by side, and their rows if so.

It reads scores.json only; nothing is evaluated. Needs no TF.
"""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib

# What must agree for two figures to stand side by side.
PROTOCOL = ('classes', 'dataset', 'split', 'images', 'label_resolution')


def read_figures(workdir: str, *, checkpoint: str) -> dict[str, Any]:
  """Returns the figures of the last or the best checkpoint of a run.

  Args:
    workdir: the run's folder.
    checkpoint: 'last' or 'best'.

  Raises:
    UserError: the run has not been evaluated.
  """
  scores = workdir_lib.read_scores(workdir)
  if checkpoint not in scores:
    raise errors.UserError(
      f'{pathlib.Path(workdir) / "scores.json"} has no {checkpoint!r}; expected'
      ' the workdir of a run that has been evaluated'
    )
  return scores[checkpoint]['figures']


def read_protocol(figures: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what must agree between runs, of the figures of one.

  Args:
    figures: what `read_figures` returned.
  """
  return {field: figures['IoU'][field] for field in PROTOCOL}


def check_protocols(names: Sequence[str], runs: Sequence[Any]) -> None:
  """Checks that all runs were scored in the same way.

  Args:
    names: of the runs, for the message.
    runs: their figures.

  Raises:
    UserError: they were not; what differs is named.
  """
  first = read_protocol(runs[0])
  for name, run in zip(names, runs, strict=True):
    for field, ours in read_protocol(run).items():
      if ours != first[field]:
        raise errors.UserError(
          f'{name} was scored with {field}={ours}, {names[0]} with'
          f' {first[field]}; expected the same'
        )


def make_rows(
  runs: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[float | None]]]:
  """Returns (name, one value per run): classes, means, and depth errors.

  A figure that a run does not have (depth errors without depth) is None there.
  An empty name parts the three.

  Args:
    runs: figures that `check_protocols` let pass.
  """
  rows = [
    (name, [run['IoU']['value'][name] for run in runs])
    for name in runs[0]['IoU']['value']
  ]
  # In the order in which they first appear; counts are no score.
  names = dict.fromkeys(
    name
    for run in runs
    for name, figure in run.items()
    if name != 'IoU' and figure['unit'] != 'pixels'
  )
  for kind in ('mIoU', 'depth_'):
    group = [name for name in names if name.startswith(kind)]
    if group:
      rows.append(('', []))
    for name in group:
      rows.append((name, [run.get(name, {}).get('value') for run in runs]))
  return rows
