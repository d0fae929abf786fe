"""Which checkpoint would be chosen without labels, and which is the best."""

from collections.abc import Sequence
import statistics
from typing import Any

from jaxuda.evaluate import blind
from jaxuda.report import runs as runs_lib

# Ranks of fewer evaluations than these say nothing about a run.
_FEW = 3


def describe_choices(group: runs_lib.Group) -> dict[str, Any] | None:
  """Returns what each criterion of `blind` chooses, and how it ranks.

  Args:
    group: runs that were scored in the same way; whatever was logged at their
      evaluations counts, whether or not the checkpoints still exist.

  Returns:
    None if no run has such a criterion. Otherwise 'score', the name of the mean
    IoU, or None without labels; 'names' of the runs; 'rows', each with 'title',
    'cells', one for each run (None without the criterion, else 'step', 'value',
    'score' and 'loss': the score minus that of the best step, at most 0), and
    'mean', a text with the mean loss and the number of runs; 'ranks', see
    `rank`, empty without labels; and 'shown', the ranks as text.
  """
  evaluations = {run.name: run.evaluations for run in group.runs}
  known = [
    name
    for name in blind.CRITERIA
    if any(name in x for found in evaluations.values() for x in found)
  ]
  if not known:
    return None
  score = next((run.score for run in group.runs if run.score), None)
  titles = {name: blind.CRITERIA[name][0] for name in known}
  first = {score: f'with labels: the highest {score}'} if score else {}
  rows = []
  for name, title in {**first, 'step': 'the last', **titles}.items():
    cells = [_choose(found, name, score) for found in evaluations.values()]
    lost = [x['loss'] for x in cells if x and x['loss'] is not None]
    mean = statistics.fmean(lost) if lost else None
    row = {'name': name, 'title': title, 'cells': cells}
    rows.append({**row, 'mean': f'{show(mean)} ({len(lost)})'})
  ranks = rank(list(evaluations.values()), score) if score else []
  return {
    'score': score,
    'names': list(evaluations),
    'rows': rows,
    'ranks': ranks,
    'shown': show_ranks(ranks),
  }


def _choose(evaluations, name, score):
  chosen = blind.choose(evaluations, name)
  if chosen is None:
    return None
  best = blind.choose(evaluations, score) if score else None
  reached = chosen.get(score)
  loss = None if None in (best, reached) else reached - best[score]
  value = chosen[name] if name in blind.CRITERIA else None
  step = chosen['step']
  return {'step': step, 'value': value, 'score': reached, 'loss': loss}


def rank(
  runs: Sequence[Sequence[dict[str, Any]]], score: str
) -> list[dict[str, Any]]:
  """Returns how well the criteria rank evaluations, by their true scores.

  Args:
    runs: the evaluations of each run, figures by name.
    score: name of the true score, such as 'mIoU7'.

  Returns:
    For each criterion with at least two evaluations: 'name', 'title', and
    Spearman's correlations, where 1 is good and None is undefined: 'all' over
    all 'all_count' evaluations of all runs; 'within', the mean over the
    'within_count' runs with three or more evaluations; 'last' over the last
    evaluations of 'last_count' runs.
  """
  rows = []
  for name, (title, _) in blind.CRITERIA.items():
    everything = [x for found in runs for x in found]
    value, count = blind.correlate(everything, name, score)
    inside = [blind.correlate(found, name, score) for found in runs]
    inside = [x for x, n in inside if n >= _FEW and x is not None]
    ends = [found[-1] for found in runs if found]
    last, last_count = blind.correlate(ends, name, score)
    if count > 1:
      rows.append(
        {
          **{'name': name, 'title': title, 'all': value, 'all_count': count},
          'within': statistics.fmean(inside) if inside else None,
          'within_count': len(inside),
          **{'last': last, 'last_count': last_count},
        }
      )
  return rows


def show_ranks(ranks: Sequence[dict[str, Any]]) -> list[list[str]]:
  """Returns the cells of `rank`'s rows as text, with counts in brackets."""
  return [
    [
      row['title'],
      *(
        f'{show(row[kind])} ({row[f"{kind}_count"]})'
        for kind in ('all', 'within', 'last')
      ),
    ]
    for row in ranks
  ]


def show(value: float | None) -> str:
  """Returns a value as '+0.85', or a dash for None."""
  return '–' if value is None else f'{value:+.2f}'.replace('-', '−')
