"""The table of a reproduction: means over seeds beside the paper's figures.

It is written as text, Markdown and CSV, with the protocol of the figures.
"""

from collections.abc import Mapping
import csv
import dataclasses
import io
import math
import pathlib
from typing import Any, TextIO

from jaxuda import errors
from jaxuda.evaluate import tables
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.run import provenance
from jaxuda.ui import display
from jaxuda.ui import files

# Width of table.txt in characters: a dozen columns.
_WIDTH = 180
_CHECKPOINTS = {
  'last': 'the last checkpoint',
  'best': 'the best checkpoint by the main mIoU on the split that is scored',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """The figures of a plan's rows.

  Attributes:
    plan: the runs that were scored.
    checkpoint: 'last' or 'best'.
    figures: rows of `tables.make_table`, one for each mean IoU, the main one
      first; their columns are the rows of the plan.
    missing: label of a row -> seed -> why it is not in the means.
    protocols: label of a row -> how its runs were trained and, if any is done,
      scored.
    codes: versions of the code that the runs were trained with.
  """

  plan: plan_lib.Plan
  checkpoint: str
  figures: list[tables.Row]
  missing: dict[str, dict[int, str]]
  protocols: dict[str, dict[str, Any]]
  codes: tuple[str, ...]

  @property
  def paper_names(self) -> list[str]:
    """Names of the figures that the paper has."""
    return list(dict.fromkeys(n for row in self.plan.rows for n in row.paper))


def collect(
  plan: plan_lib.Plan,
  *,
  checkpoint: str = 'last',
  reasons: Mapping[str, str] | None = None,
) -> Results:
  """Reads the scores of all runs that are done.

  Args:
    plan: the runs.
    checkpoint: 'last' or 'best'.
    reasons: name of a run -> why it is not done.

  Raises:
    UserError: runs were scored in different ways.
  """
  used = {name for row in plan.rows for name in row.runs.values()}
  scored = {
    name: _read(run, checkpoint)
    for name, run in plan.runs.items()
    if name in used and run.parts[-1].scored and progress_lib.is_done(run)
  }
  tables.check_protocols(scored)
  done = {
    row.label: {s: scored[n] for s, n in row.runs.items() if n in scored}
    for row in plan.rows
  }
  folders = (part.workdir for run in plan.runs.values() for part in run.parts)
  codes = [code for folder in folders for code in provenance.read(folder)]
  return Results(
    plan=plan,
    checkpoint=checkpoint,
    figures=[row for row in tables.make_table(done) if row.kind == 'mIoU'],
    missing={
      row.label: {
        seed: (reasons or {}).get(name) or 'not done'
        for seed, name in row.runs.items()
        if name not in scored
      }
      for row in plan.rows
    },
    protocols={
      row.label: _read_protocol(plan, row, done[row.label]) for row in plan.rows
    },
    codes=tuple(dict.fromkeys(codes)),
  )


def _read(run, checkpoint):
  workdir = run.parts[-1].workdir
  figures = tables.read_figures(str(workdir), checkpoint=checkpoint)
  images = plan_lib.same_images(figures['IoU']['dataset'])
  return {k: {**figure, 'dataset': images} for k, figure in figures.items()}


def _read_protocol(plan, row, done):
  """How the runs of a row were trained and scored.

  Raises UserError if its seeds were not scored by the same rules.
  """
  run = plan.runs[next(iter(row.runs.values()))]
  found = {
    **next(map(tables.read_protocol, done.values()), {}),
    'steps': '+'.join(str(part.steps) for part in run.parts),
    'batch': run.config.batch_size,
    'backbone': run.config.network.backbone,
    'begins with': run.config.get('initial') or 'scratch',
  }
  for seed, figures in done.items():
    ours = {
      'network': figures['IoU']['network'],
      'network input': 'x'.join(map(str, figures['IoU']['network_input'])),
    }
    for field, value in ours.items():
      if found.setdefault(field, value) != value:
        raise errors.UserError(
          f'{row.runs[seed]} was scored with {field} {value}, the seeds before'
          f' with {found[field]}; expected the same'
        )
  return found


def make_lines(results: Results) -> list[list[str]]:
  """Returns the header and the cells of every row."""
  main, others = results.figures[:1], results.figures[1:]
  papers = results.paper_names
  header = [
    *('row', 'seeds', *(x.name for x in main)),
    *(f'{x.name}, diff.' for x in main),
    *(x.name for x in others),
    *(f'paper {name}' for name in papers),
  ]
  lines = [header]
  for row in results.plan.rows:
    label, missing = row.label, results.missing[row.label]
    lines.append(
      [
        label + (' (incomplete)' if missing else ''),
        str(len(results.plan.seeds) - len(missing)),
        *(x.means[label].show() for x in main),
        *(
          x.differences[label].show(sign='+') if label in x.differences else ''
          for x in main
        ),
        *(x.means[label].show() for x in others),
        *(f'{row.paper[x]:.1f}' if x in row.paper else '-' for x in papers),
      ]
    )
  return lines


def make_notes(results: Results) -> list[str]:
  """Returns a title, and lines that say what the figures are."""
  plan = results.plan
  seeds = ', '.join(map(str, plan.seeds))
  notes = [
    f'{plan.table} on {plan.pair}. {plan.title}',
    f'Mean and standard deviation (n - 1) over the seeds {seeds}, IoU in %, of'
    f' {_CHECKPOINTS[results.checkpoint]}; diff.: to {plan.rows[0].label},'
    ' mean and standard deviation of the differences seed by seed.',
  ]
  if results.paper_names:
    own = '' if plan.paper_pair == plan.pair else ', not this pair'
    notes.append(
      f"paper: the authors' figures on {plan.paper_pair}{own}, by the paper's"
      ' protocol.'
    )
  notes += _describe_protocols(results.protocols)
  for row in plan.rows:
    if row.same_as:
      notes.append(f'{row.label}: the runs of {row.same_as}, its twin.')
    for seed, reason in results.missing[row.label].items():
      notes.append(f'{row.label}: seed {seed} is missing: {reason}.')
  notes += [f'Trained with {code}.' for code in results.codes]
  if len(results.codes) > 1:
    notes.append('The runs were not all trained with the same code.')
  return notes


def _describe_protocols(protocols):
  notes = [
    f'Scored on {tables.describe_protocol(x)}, classes {x["classes"]}.'
    for x in protocols.values()
    if 'classes' in x
  ][:1]
  parts = []
  for field in dict.fromkeys(k for x in protocols.values() for k in x):
    labels = {}
    for label, protocol in protocols.items():
      if field in protocol:
        labels.setdefault(str(protocol[field]), []).append(label)
    if field in tables.PROTOCOL:
      continue
    each = [
      f'{value} ({", ".join(rows)})' if len(labels) > 1 else value
      for value, rows in labels.items()
    ]
    parts.append(f'{field} {", ".join(each)}')
  return [*notes, f'{"; ".join(parts)}.']


def write(results: Results, folder: pathlib.Path) -> None:
  """Writes table.txt, table.md and table.csv."""
  text = io.StringIO()
  print_results(results, text)
  for name, content in (
    ('table.txt', text.getvalue()),
    ('table.md', _markdown(results)),
    ('table.csv', _csv(results)),
  ):
    with files.atomic(folder / name) as part:
      part.write_text(content, newline='')


def print_results(results: Results, stream: TextIO | None = None) -> None:
  """Prints the table with its notes, on stdout if `stream` is None."""
  title, *notes = make_notes(results)
  header, *lines = make_lines(results)
  display.print_table(title, header, lines, stream=stream, width=_WIDTH)
  for note in notes:
    print(note, file=stream)


def _markdown(results):
  title, *notes = make_notes(results)
  header, *lines = make_lines(results)
  lines = [header, ['---', *('---:' for _ in header[1:])], *lines]
  escaped = [[cell.replace('|', '\\|') for cell in line] for line in lines]
  rows = [f'| {" | ".join(line)} |' for line in escaped]
  return '\n'.join([title, '', *rows, '', *(f'* {x}' for x in notes), ''])


def _csv(results):
  """A line for each row and figure, with everything that belongs to it."""
  plan, figures = results.plan, {row.name: row for row in results.figures}
  lines, unknown = [], tables.average([])
  for row in plan.rows:
    label, protocol = row.label, dict(results.protocols[row.label])
    if 'label_resolution' in protocol:
      size = tables.format_size(protocol['label_resolution'])
      protocol['label_resolution'] = size
    for name in dict.fromkeys((*figures, *row.paper)):
      figure, mean, difference = figures.get(name), unknown, unknown
      if figure:
        mean = figure.means[label]
        difference = figure.differences.get(label, unknown)
      lines.append(
        {
          'table': plan.table,
          'pair': plan.pair,
          'row': label,
          'figure': name,
          'mean': _number(mean.value),
          'deviation': _number(mean.deviation),
          'count': mean.count,
          'difference': _number(difference.value),
          'difference_deviation': _number(difference.deviation),
          'difference_count': difference.count,
          'paper': row.paper.get(name, ''),
          'paper_pair': plan.paper_pair,
          'missing_seeds': ' '.join(map(str, results.missing[label])),
          'seeds': ' '.join(map(str, plan.seeds)),
          'checkpoint': results.checkpoint,
          **{k.replace(' ', '_'): value for k, value in protocol.items()},
        }
      )
  fields = list(dict.fromkeys(k for line in lines for k in line))
  text, code = io.StringIO(), '; '.join(results.codes)
  out = csv.DictWriter(text, [*fields, 'code'], lineterminator='\n', restval='')
  out.writeheader()
  out.writerows({**line, 'code': code} for line in lines)
  return text.getvalue()


def _number(x):
  return '' if math.isnan(x) else f'{x:.4f}'
