r"""Reproduces a table of a paper: trains all rows with several seeds.

    jaxuda reproduce --list [--table=dada/3]
    jaxuda reproduce --table=dada/3 --pair=streets --seeds=3 \
        --workdir=DIR [--rows=S1,S7] [--jobs=2] [--checkpoint=best] \
        [--nobaselines] [--dry_run] [-- --config.field=value ...]

Everything after `--` is passed on to every run. If killed at any moment, the
same command resumes: finished runs are not repeated, others continue. More
seeds or rows can be added later. A run that fails leaves a gap in the table;
the others go on, and the exit status is 1.

On small pairs most tables start with two additional rows: the network without
adaptation, with the running statistics of the source and with those of target
images (AdaBN). All other rows are compared with both. Results that a paper
quotes from others are shown but not run; figures are drawn into WORKDIR/drawn
once their runs are done.

The tables, with the papers' figures, are in configs/tables/; --tables=FILE.py
reads others, whose configs are next to that file.
"""

import shlex

from absl import flags

from jaxuda import errors
from jaxuda.reproduce import arguments
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import reproducing
from jaxuda.ui import command
from jaxuda.ui import config_files


def main(*overrides: str) -> int:
  """Runs the command line; returns 1 if a run is missing from the table."""
  given = flags.FLAGS
  path = config_files.find(given.tables)
  tables, folder = arguments.read_tables(path), arguments.find_configs(path)
  seeds = arguments.parse_seeds(given.seeds)
  if given.list:
    if given.table:
      name = arguments.find_table(tables, given.table)
      tables = {name: tables[name]}
    options = {'pair': given.pair, 'seeds': seeds, 'baselines': given.baselines}
    reproducing.print_list(tables, folder, **options)
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
    baselines=given.baselines,
  )
  if given.dry_run:
    folder_lib.Folder(given.workdir, plan).check()
    print(*plan.runs.values(), sep='\n')
    for words in plan.commands:
      print('jaxuda', shlex.join(words))
    return 0
  return reproducing.reproduce(
    plan, given.workdir, jobs=given.jobs, checkpoint=given.checkpoint
  )


def _define_flags():
  flags.DEFINE_bool(
    'list', False, 'Print the tables, or --table, and what each needs.'
  )
  flags.DEFINE_string('table', None, 'Table to reproduce, e.g. dada/3.')
  flags.DEFINE_string(
    'tables', 'configs/tables.py', 'File that defines the tables.'
  )
  flags.DEFINE_string('pair', '', "Domain pair; the paper's own if unset.")
  flags.DEFINE_string('classes', '', "Class set; the table's if unset.")
  flags.DEFINE_string(
    'seeds', '3', 'Number of seeds (3 stands for 1,2,3), or a list of seeds.'
  )
  flags.DEFINE_list(
    'rows', [], 'Rows to train besides the baselines; all if unset.'
  )
  flags.DEFINE_bool('baselines', True, 'Add the baselines on small pairs.')
  flags.DEFINE_integer('jobs', 1, 'Number of concurrent runs.', lower_bound=1)
  flags.DEFINE_enum(
    'checkpoint', 'last', ['last', 'best'], 'Checkpoint whose scores count.'
  )
  flags.DEFINE_bool('dry_run', False, 'Only print the commands of all runs.')
  flags.DEFINE_string('workdir', None, 'Folder of the runs and the table.')


if __name__ == '__main__':
  _define_flags()
  command.run(main, pass_on=True)
