r"""Runs a table of a paper: all rows, several seeds, and prints it.

    jaxuda reproduce --list
    jaxuda reproduce --table=dada/3 --pair=streets --seeds=3 \
        --workdir=DIR [--rows=S1,S7] [--jobs=2] [--checkpoint=best] \
        [--dry_run] [-- --config.field=value ...]

What follows `--` is passed on to every run. Killed at any moment, the same
command goes on where it was: runs that are done are not repeated, others
continue. More seeds or rows can be asked for later. A run that fails leaves a
gap in the table; the others go on, and the exit status is 1.

The tables, with the papers' figures, are in configs/tables.py.
"""

from absl import flags

from jaxuda import errors
from jaxuda.reproduce import arguments
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import reproducing
from jaxuda.ui import command
from jaxuda.ui import config_files


def main(*overrides: str) -> int:
  """Runs the command line; 1 if a run is missing in the table."""
  given = flags.FLAGS
  path = config_files.find(given.tables)
  tables, folder = arguments.read_tables(path), path.parent
  seeds = arguments.parse_seeds(given.seeds)
  if given.list:
    reproducing.print_list(tables, folder, pair=given.pair, seeds=seeds)
    return 0
  if not given.table or not given.workdir:
    raise errors.UserError('expected --table and --workdir, or --list')
  name = arguments.find_table(tables, given.table)
  plan = plan_lib.expand(
    name,
    tables[name],
    folder=folder,
    workdir=given.workdir,
    pair=given.pair,
    classes=given.classes,
    seeds=seeds,
    rows=given.rows,
    overrides=overrides,
  )
  if given.dry_run:
    folder_lib.Folder(given.workdir, plan).check()
    print(*plan.runs.values(), sep='\n')
    return 0
  return reproducing.reproduce(
    plan, given.workdir, jobs=given.jobs, checkpoint=given.checkpoint
  )


def _define_flags():
  flags.DEFINE_bool('list', False, 'Print the tables and what each needs.')
  flags.DEFINE_string('table', None, 'Which one, e.g. dada/3.')
  flags.DEFINE_string('tables', 'configs/tables.py', 'File of the tables.')
  flags.DEFINE_string('pair', '', "Domain pair; the paper's own if unset.")
  flags.DEFINE_string('classes', '', "Class set; the table's if unset.")
  flags.DEFINE_string('seeds', '3', 'How many (1, 2, ...), or a list of them.')
  flags.DEFINE_list('rows', [], 'Only these.')
  flags.DEFINE_integer('jobs', 1, 'Runs at a time.', lower_bound=1)
  flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'What is scored.')
  flags.DEFINE_bool('dry_run', False, 'Print the commands of all runs.')
  flags.DEFINE_string('workdir', None, 'Folder of the runs and the table.')


if __name__ == '__main__':
  _define_flags()
  command.run(main, pass_on=True)
