r"""Prints the scores of runs side by side, from their scores.json.

    python scripts/compare.py --workdirs=RUN,OTHER[,...] [--checkpoint=best]

One row per class and mean, one column per run, and for each run except the
first the difference from the first. Nothing is evaluated; `python -m
jaxuda.evaluate` does that.
"""

from absl import flags

from jaxuda.evaluate import tables
from jaxuda.ui import command
from jaxuda.ui import display


def main() -> None:
  """Runs the command line."""
  workdirs, checkpoint = flags.FLAGS.workdirs, flags.FLAGS.checkpoint
  runs = {w: tables.read_figures(w, checkpoint=checkpoint) for w in workdirs}
  tables.check_protocols(runs)
  names = tables.unique_names(workdirs)
  protocols = [figures['IoU'] for figures in runs.values()]
  steps = ', '.join(str(protocol['checkpoint_step']) for protocol in protocols)
  rows = tables.make_table(
    {name: {0: runs[w]} for name, w in zip(names, workdirs, strict=True)}
  )
  display.print_table(
    f'IoU in %, {tables.describe_protocol(protocols[0])}, {checkpoint}'
    f' checkpoint (step {steps})',
    ['class', *names, *(f'{name} - {names[0]}' for name in names[1:])],
    tables.show_rows(rows, differences=True),
  )


if __name__ == '__main__':
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_enum(
    'checkpoint', 'last', ['last', 'best'], 'Checkpoint whose scores count.'
  )
  command.run(main)
