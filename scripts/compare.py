r"""Prints the scores of runs side by side, from their scores.json.

    python scripts/compare.py --workdirs=RUN,OTHER[,...] [--checkpoint=best]

One row per class and mean, one column per run, and for each run but the first
the difference to the first. Nothing is evaluated; `python -m jaxuda.evaluate`
does that.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from jaxuda.evaluate import comparison
from jaxuda.ui import command
from jaxuda.ui import display


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
  runs = [comparison.read_figures(w, checkpoint=checkpoint) for w in workdirs]
  comparison.check_protocols(workdirs, runs)
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
    [format_row(name, values) for name, values in comparison.make_rows(runs)],
  )


if __name__ == '__main__':
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'Which one.')
  command.run(main)
