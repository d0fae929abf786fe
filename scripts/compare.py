r"""Prints the scores of runs side by side, from their scores.json.

    python scripts/compare.py --workdirs=RUN,OTHER[,...] [--checkpoint=best]

One row per class and mean, one column per run, and for each run but the first
the difference to the first. Nothing is evaluated; `python -m jaxuda.evaluate`
does that.
"""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

from absl import flags

from jaxuda import command
from jaxuda import display
from jaxuda import errors
from jaxuda import workdir as workdir_lib

# What must agree for two figures to stand side by side.
_PROTOCOL = ('classes', 'dataset', 'split', 'images', 'label_resolution')


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


def make_rows(
  runs: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[float | None]]]:
  """Returns (name, one value per run): classes, means, and depth errors.

  A figure that a run does not have (depth errors without depth) is None there.
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


def check_protocols(names: Sequence[str], runs: Sequence[Any]) -> None:
  """Checks that all runs were scored in the same way.

  Raises:
    UserError: they were not; what differs is named.
  """
  for name, run in zip(names, runs, strict=True):
    for field in _PROTOCOL:
      ours, first = run['IoU'][field], runs[0]['IoU'][field]
      if ours != first:
        raise errors.UserError(
          f'{name} was scored with {field}={ours}, {names[0]} with {first};'
          ' expected the same'
        )


def format_row(name: str, values: Sequence[float | None]) -> list[str]:
  """Returns the cells of a row: the name, the values, the differences."""
  cells = [name] + ['-' if x is None else f'{x:.2f}' for x in values]
  for x in values[1:]:
    known = x is not None and values[0] is not None
    cells.append(f'{x - values[0]:+.2f}' if known else '-')
  return cells


def main() -> None:
  """Runs the command line."""
  workdirs = [w.rstrip('/') for w in flags.FLAGS.workdirs]
  checkpoint = flags.FLAGS.checkpoint
  runs = [read_figures(w, checkpoint=checkpoint) for w in workdirs]
  check_protocols(workdirs, runs)
  names = [pathlib.Path(w).name for w in workdirs]
  header = ['class', *names, *(f'{n} - {names[0]}' for n in names[1:])]
  protocol = runs[0]['IoU']
  steps = ', '.join(str(run['IoU']['checkpoint_step']) for run in runs)
  size = 'x'.join(map(str, protocol['label_resolution']))
  display.print_table(
    f'IoU in %, {protocol["dataset"]} {protocol["split"]},'
    f' {protocol["images"]} images at {size}, {checkpoint} checkpoint'
    f' (step {steps})',
    header,
    [format_row(name, values) for name, values in make_rows(runs)],
  )


if __name__ == '__main__':
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'Which one.')
  command.run(main)
