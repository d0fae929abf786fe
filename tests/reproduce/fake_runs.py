"""Runs that take no time: a table of two rows, and fake child processes."""

import json
import pathlib
import subprocess
import sys

from jaxuda.reproduce import arguments
from jaxuda.reproduce import plan as plan_lib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = arguments.read_tables(ROOT / 'configs' / 'tables' / '__init__.py')

# Trains to argv[2] steps and writes the scores argv[3]; on SIGTERM it says so
# in a file, and ends. argv[4] is a reason to fail, argv[5] how long it takes.
CHILD = """
import json, pathlib, signal, sys, time

def stop(number, frame):
  (workdir / 'saved').write_text('yes')
  sys.exit(0)

workdir, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGTERM, stop)
workdir.mkdir(parents=True, exist_ok=True)
(workdir / 'begun').write_text('yes')
time.sleep(float(sys.argv[5]))
if sys.argv[4]:
  sys.exit(f'first line\\n{sys.argv[4]}')
(workdir / 'scores.json').write_text(sys.argv[3])
"""


def make_plan(workdir, *, table='dada/ablation', rows=('S1', 'S7'), **options):
  """Returns the plan of a table on streets, without its baselines."""
  return plan_lib.expand(
    table,
    TABLES[table],
    **{
      'folder': ROOT / 'configs',
      'workdir': workdir,
      'pair': 'streets',
      'rows': rows,
      'seeds': (1, 2, 3),
      'baselines': False,
      **options,
    },
  )


def make_scores(
  figures, *, step=1500, best=None, classes=None, each=None, **protocol
):
  """Returns the content of a scores.json: main figure first.

  In percent: `classes` is class -> IoU, `each` is image name -> mean IoU.
  """
  common = {
    'unit': '%',
    'classes': 'cityscapes19',
    'dataset': 'streets/target',
    'split': 'val',
    'images': 150,
    'label_resolution': [160, 320],
    'network_input': [96, 192],
    'network': 'task (student)',
    'checkpoint_step': step,
    **protocol,
  }
  made = {k: {'value': x, **common} for k, x in figures.items()}
  made['IoU'] = {'value': classes or {'road': 1.0}, **common}
  last = {
    **{'checkpoint_step': step, 'main': next(iter(made)), 'figures': made},
    'images': each or {},
  }
  return {'last': last, 'best': best or last}


def write_scores(workdir, figures, **options):
  """Writes the scores.json of a run that is done."""
  workdir.mkdir(parents=True, exist_ok=True)
  scores = make_scores(figures, **options)
  (workdir / 'scores.json').write_text(json.dumps(scores))


class Launcher:
  """Starts children instead of trainings.

  Attributes:
    started: names of the runs, in order.
  """

  def __init__(self, *, failing=(), seconds=0.0):
    self.started, self._failing, self._seconds = [], failing, seconds

  def __call__(self, run, folder):
    self.started.append(run.name)
    scores = make_scores({'mIoU19': 20.0}, step=run.parts[-1].steps)
    reason = 'no memory left' if run.name in self._failing else ''
    path = folder.log(run.name)
    path.parent.mkdir(exist_ok=True)
    with path.open('a') as f:
      return subprocess.Popen(
        [
          *(sys.executable, '-S', '-c', CHILD, str(run.parts[-1].workdir)),
          *(str(run.parts[-1].steps), json.dumps(scores)),
          *(reason, str(self._seconds)),
        ],
        stdout=f,
        stderr=f,
        start_new_session=True,
        pass_fds=(folder.lock,),
      )
