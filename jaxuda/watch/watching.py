"""Reads the state of runs from their files while they are being written."""

from collections.abc import Sequence
import hashlib
import itertools
import os
import pathlib
import re
import statistics
import threading
import time
from typing import Any

from jaxuda import errors
from jaxuda.evaluate import blind
from jaxuda.evaluate import tables
from jaxuda.report import charts
from jaxuda.report import runs as runs_lib
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display

# Most points of a curve that are sent; neighbours are averaged beyond that.
POINTS = 400
# A run is called silent after at least so many seconds without a log line.
_PATIENCE = 120.0
_FILES = ('config.json', 'metrics.jsonl', 'scores.json', 'pictures')
_PICTURE = re.compile(r'([a-z_]+)_([0-9]+)\.png')
# Heading of a group of curves -> prefixes of their names.
_GROUPS = {
  'Scores': ('mIoU', 'abs_rel'),
  'Without labels': ('blind_',),
  'Losses': ('loss',),
  'More': ('',),
}


class Watch:
  """Runs, some of which may not exist yet; thread-safe."""

  def __init__(self, workdirs: Sequence[str]):
    """Reads nothing yet.

    Args:
      workdirs: folders of runs, or folders of such folders.

    Raises:
      UserError: one is given twice, or is a file.
    """
    tables.unique_names(workdirs)
    for workdir in workdirs:
      if os.path.isfile(workdir):
        raise errors.UserError(
          f'{workdir} is a file; expected the folder of a run'
        )
    self._workdirs = workdirs
    self._lock = threading.Lock()
    # In the order in which they were seen, so that a run keeps its colour.
    self._runs: dict[str, _Run] = {}

  def read(self) -> dict[str, Any]:
    """Returns the content of the page, in JSON types.

    Returns:
      'runs', each with 'key', 'name', 'color', 'about', 'state' ('waiting',
      'training', 'silent' or 'done'), 'said' (the state in words), 'share'
      (0..1 of all steps), 'progress' (texts), 'losses', 'scores' and 'blind'
      (lists of (name, figure, step or '')) and 'pictures' (name -> steps in
      ascending order); 'curves', each with 'name', 'title', 'group' and 'runs',
      a list of (number of the run, steps, values).
    """
    with self._lock:
      for workdir in self._workdirs:
        self._find(pathlib.Path(workdir))
      runs = list(self._runs.values())
      names = tables.unique_names([str(run.folder) for run in runs])
      for run in runs:
        run.refresh()
      shown = [
        {'name': name, 'color': charts.pick_color(number), **run.describe()}
        for number, (name, run) in enumerate(zip(names, runs, strict=True))
      ]
      return {'runs': shown, 'curves': _make_curves(runs)}

  def find_picture(self, key: str, name: str) -> pathlib.Path | None:
    """Returns the file of a picture, None if it does not exist.

    Args:
      key: key of the run.
      name: name of a file in its folder of pictures; not a path.
    """
    with self._lock:
      run = self._runs.get(key)
    if run is None or not _PICTURE.fullmatch(name):
      return None
    path = run.folder / 'pictures' / name
    return path if path.is_file() and not path.is_symlink() else None

  def _find(self, folder):
    """Adds the run of a folder, the runs in it, or a run that is awaited."""
    found = [folder]
    if not (folder / 'config.json').is_file():
      found = workdir_lib.find_runs(folder) or [folder]
    shown = [part for path in found for part in _list_parts(path)]
    for path in {folder, *found} - {*shown}:
      self._runs.pop(_make_key(path), None)
    for path in shown:
      self._runs.setdefault(_make_key(path), _Run(path))


def _list_parts(folder):
  """Returns the trainings of `jaxuda depdis run`; otherwise the run itself."""
  if (folder / 'metrics.jsonl').is_file():
    return [folder]
  parts = 'adversarial/config.json', 'round*/training/config.json'
  found = [x.parent for part in parts for x in sorted(folder.glob(part))]
  return found or [folder]


class _Run:
  """A run as its files were when they were last read."""

  def __init__(self, folder: pathlib.Path):
    self.folder, self.files = folder, None
    # Name of a quantity -> (steps, values), thinned out.
    self.curves = {}
    self._stamp, self._note, self._pictures = None, '', {}

  def refresh(self) -> None:
    """Reads the files again if any has changed."""
    stamp = tuple(_stamp(self.folder / name) for name in _FILES)
    if stamp == self._stamp:
      return
    self._stamp, self._note = stamp, ''
    self._pictures = _list_pictures(self.folder / 'pictures')
    if not (self.folder / 'config.json').is_file():
      self.files, self.curves = None, {}
      return
    try:
      (self.files,) = runs_lib.read([str(self.folder)])
      self.curves = {
        name: thin_out(*curve)
        for name, [(_, *curve)] in runs_lib.list_curves([self.files]).items()
      }
    except (errors.UserError, OSError, ValueError) as e:
      # The content that was read before stays.
      self._note = str(e)

  def describe(self) -> dict[str, Any]:
    """Returns the entry of `Watch.read` for a run, without name and colour."""
    files = self.files
    state, said = self._judge()
    shown = {
      **{'key': _make_key(self.folder), 'state': state, 'said': said},
      **{'about': str(self.folder), 'share': 0.0, 'progress': [], 'losses': []},
      **{'scores': [], 'blind': [], 'pictures': self._pictures},
    }
    if files is None:
      return shown
    config, total = files.config, files.config.get('stop_step') or 0
    return {
      **shown,
      'about': ', '.join(
        str(config[x]) for x in ('name', 'pair') if config.get(x)
      )
      + f', seed {config.get("seed", "–")}',
      'share': min(1.0, files.step / total) if total else 0.0,
      'progress': _describe_progress(files, total, running=state == 'training'),
      'losses': _describe_losses(files),
      'scores': _describe_scores(files),
      'blind': _describe_blind(files),
    }

  def _judge(self):
    """Returns (state, the same in words)."""
    if self._note:
      return 'silent', self._note
    if self.files is None:
      return 'waiting', 'not started yet'
    files, written = self.files, self._stamp[1]
    if not files.lines or written is None:
      return 'waiting', 'started, no figures yet'
    if files.step >= (files.config.get('stop_step') or float('inf')):
      return 'done', 'all steps done'
    # Lines are logged only every so many steps.
    pause = (files.config.get('log_every') or 0) / (files.rate or float('inf'))
    silence = time.time() - written[0] / 1e9
    if silence > max(_PATIENCE, 5 * pause):
      return 'silent', f'no news for {display.format_time(silence)}'
    return 'training', 'training'


def _make_key(folder):
  """Returns twelve hexadecimal digits that identify a folder in addresses."""
  path = os.fsencode(folder.absolute())
  return hashlib.sha256(path).hexdigest()[:12]


def _stamp(path):
  """Returns (time of the last change in ns, bytes), None if it is missing."""
  try:
    info = path.stat()
  except OSError:
    return None
  return info.st_mtime_ns, info.st_size


def _list_pictures(folder):
  """Returns kind of picture -> its steps in ascending order."""
  found = {}
  for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
    if match := _PICTURE.fullmatch(name):
      found.setdefault(match[1], []).append(match[2])
  return {kind: sorted(steps, key=int) for kind, steps in found.items()}


def _describe_progress(files, total, *, running):
  """Returns texts about the steps done, the rate and the time left."""
  parts = [f'{files.step:,} of {total:,} steps']
  rates = [
    x['steps_per_second'] for x in files.lines if 'steps_per_second' in x
  ]
  rate = rates[-1] if rates else None
  if rate and running:
    left = display.format_time(max(0, total - files.step) / rate)
    parts += [display.format_rate(rate, 'steps'), f'{left} left']
  return parts


def _describe_losses(files):
  """Returns the losses in the last training line: (name, text, '')."""
  last = [x for x in files.lines if x.get('kind') == 'train'][-1:]
  return [
    (name, display.format_values({'': value}).strip(), '')
    for line in last
    for name, value in line.items()
    if name.startswith('loss')
  ]


def _describe_scores(files):
  """Returns the last and, if different, the best mean IoU."""
  main = files.score or _main(files.evaluations)
  # There may be scores without a log, in a run that was copied in part.
  found = [x for x in files.evaluations if x.get(main) is not None]
  if not found:
    return []
  last, best = found[-1], blind.choose(found, main)
  rows = [(main, f'{last[main]:.2f}', f'step {last["step"]:,}')]
  if best['step'] != last['step']:
    rows.append(('best', f'{best[main]:.2f}', f'step {best["step"]:,}'))
  return rows


def _main(evaluations):
  """Returns the name of the logged mean IoU over the most classes, or None."""
  names = {
    name
    for x in evaluations
    for name, value in x.items()
    if re.fullmatch(r'mIoU\d+', name) and value is not None
  }
  return max(names, key=lambda x: int(x.removeprefix('mIoU')), default=None)


def _describe_blind(files):
  """Returns (title, last value, best step) for each criterion."""
  rows = []
  for name, (title, _) in blind.CRITERIA.items():
    values = [x[name] for x in files.evaluations if x.get(name) is not None]
    if values:
      step = blind.choose(files.evaluations, name)['step']
      rows.append((title, f'{values[-1]:.3f}', f'best: step {step:,}'))
  return rows


def _make_curves(runs):
  """Returns the curves of all runs, sorted by group."""
  groups, curves = list(_GROUPS), []
  for name in {name for run in runs for name in run.curves}:
    starts = (name.startswith(_GROUPS[group]) for group in groups)
    curves.append(
      {
        'name': name,
        'title': blind.CRITERIA.get(name, (name,))[0],
        'group': next(itertools.compress(groups, starts)),
        'runs': [
          (number, *run.curves[name])
          for number, run in enumerate(runs)
          if name in run.curves
        ],
      }
    )
  return sorted(
    curves,
    key=lambda x: (
      groups.index(x['group']),
      runs_lib.rank_quantity(x['name']),
    ),
  )


def thin_out(
  steps: Sequence[float], values: Sequence[float], *, most: int = POINTS
) -> tuple[list[float], list[float]]:
  """Thins a curve out to at most `most` points by averaging neighbours.

  The last point stays as it is.

  Args:
    steps: N steps in ascending order.
    values: N values.
    most: maximum number of points, at least 2.
  """
  if len(steps) <= most:
    return list(steps), list(values)
  size = -(-(len(steps) - 1) // (most - 1))
  starts = range(0, len(steps) - 1, size)
  thin_steps, thin_values = (
    [statistics.fmean(series[i : i + size]) for i in starts]
    for series in (steps[:-1], values[:-1])
  )
  return [*thin_steps, steps[-1]], [*thin_values, values[-1]]
