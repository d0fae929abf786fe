"""The precision and recall of the pseudo-labels that runs were trained on."""

from collections.abc import Sequence
import json
import pathlib
from typing import Any

from jaxuda.data.files import label_files
from jaxuda.report import runs as runs_lib

_SHARES = ('labelled', 'precision', 'recall')


def describe(runs: Sequence[runs_lib.RunFiles]) -> list[dict[str, Any]]:
  """Returns a table for every class set, of the runs with pseudo-labels.

  The figures were counted by `jaxuda.depdis.pseudo` if the target has ground
  truth; runs whose folder of pseudo-labels is missing or has no such figures
  are left out.

  Args:
    runs: the runs, in the order of the page.

  Returns:
    Tables with the 'names' of runs and 'rows', each with the 'name' of a class
    and 'cells', the texts of labelled, precision and recall in percent for each
    run; the last row is over all classes.
  """
  groups = {}
  for run in runs:
    summary = _read(run)
    if summary.get('precision') is not None:
      groups.setdefault(summary['classes'], {})[run.name] = summary
  tables = []
  for members in groups.values():
    summaries = list(members.values())
    rows = [
      {'name': name, 'cells': _cells(x['per_class'][name] for x in summaries)}
      for name in summaries[0]['per_class']
    ]
    rows.append({'name': 'all', 'cells': _cells(summaries)})
    tables.append({'names': list(members), 'rows': rows})
  return tables


def _read(run):
  """Returns the summary in the folder of a run's labels; {} if none."""
  folder = run.config.get('data.target.label_dir')
  if not folder:
    return {}
  try:
    return json.loads((pathlib.Path(folder) / label_files.SUMMARY).read_text())
  except (OSError, ValueError):
    return {}


def _cells(shares):
  return [
    '–' if x.get(kind) is None else f'{100 * x[kind]:.1f}'
    for x in shares
    for kind in _SHARES
  ]
