"""Results as text, Markdown and CSV, with their protocol."""

import csv
import io
import math
import pathlib

from jaxuda.reproduce import results as results_lib
from jaxuda.ui import display

# Of table.txt: a dozen columns.
_WIDTH = 180
_CHECKPOINTS = {
  'last': 'the last checkpoint',
  'best': 'the best checkpoint by the main mIoU on the split that is scored',
}


def make_header(results: results_lib.Results) -> list[str]:
  """Returns the names of the columns."""
  main = results.names[:1]
  header = ['row', 'seeds', *main, *(f'{x}, diff.' for x in main)]
  header += results.names[1:]
  return header + [f'paper {name}' for name in _paper_names(results)]


def make_cells(results: results_lib.Results) -> list[list[str]]:
  """Returns the cells of all rows, under `make_header`."""
  return [_cells(results, row) for row in results.rows]


def make_notes(results: results_lib.Results) -> list[str]:
  """Returns lines that say what the figures are."""
  plan = results.plan
  seeds = ', '.join(map(str, plan.seeds))
  notes = [
    f'{plan.table} on {plan.pair}. {plan.title}',
    f'Mean and standard deviation (n - 1) over the seeds {seeds}, IoU in %, of'
    f' {_CHECKPOINTS[results.checkpoint]}; diff.: to {results.rows[0].label},'
    ' mean and standard deviation of the differences seed by seed.',
  ]
  if _paper_names(results):
    own = '' if plan.paper_pair == plan.pair else ', not this pair'
    notes.append(
      f"paper: the authors' figures on {plan.paper_pair}{own}, by the paper's"
      ' protocol.'
    )
  notes += _protocol_notes(results)
  for row in results.rows:
    if row.same_as:
      notes.append(f'{row.label}: the runs of {row.same_as}, its twin.')
    for seed, reason in row.missing.items():
      notes.append(f'{row.label}: seed {seed} is missing: {reason}.')
  notes += [f'Trained with {code}.' for code in results.codes]
  if len(results.codes) > 1:
    notes.append('The runs were not all trained with the same code.')
  return notes


def write(results: results_lib.Results, folder: pathlib.Path) -> None:
  """Writes table.txt, table.md and table.csv."""
  text = io.StringIO()
  print_results(results, text)
  for name, content in (
    ('table.txt', text.getvalue()),
    ('table.md', _markdown(results)),
    ('table.csv', _csv(results)),
  ):
    part = folder / f'{name}.part'
    part.write_text(content, newline='')
    part.rename(folder / name)


def print_results(
  results: results_lib.Results, stream: io.TextIOBase | None = None
) -> None:
  """Prints the table with its notes.

  Args:
    results: the table.
    stream: elsewhere than to stdout.
  """
  title, *notes = make_notes(results)
  display.print_table(
    title,
    make_header(results),
    make_cells(results),
    stream=stream,
    width=_WIDTH,
  )
  for note in notes:
    print(note, file=stream)


def _paper_names(results):
  return list(dict.fromkeys(n for row in results.rows for n in row.paper))


def _cells(results, row):
  count = len(results.plan.seeds) - len(row.missing)
  means = [_show(row.figures[name]) for name in results.names]
  differences = [
    _show(row.differences[name], sign='+') if row.differences else ''
    for name in results.names[:1]
  ]
  paper = [row.paper.get(name) for name in _paper_names(results)]
  label = row.label + (' (incomplete)' if row.missing else '')
  return [
    *(label, str(count), *means[:1], *differences, *means[1:]),
    *('-' if x is None else f'{x:.1f}' for x in paper),
  ]


def _show(mean, *, sign=''):
  if math.isnan(mean.value):
    return '-'
  text = f'{mean.value:{sign}.2f}'
  return (
    text if math.isnan(mean.deviation) else f'{text} +- {mean.deviation:.2f}'
  )


def _protocol_notes(results):
  scored = [row for row in results.rows if row.scored]
  notes = []
  if scored:
    one = scored[0].scored
    size = results_lib.format_size(one['label_resolution'])
    notes.append(
      f'Scored on {one["dataset"]} {one["split"]}, {one["images"]} images at'
      f' {size}, classes {one["classes"]}.'
    )
  fields = dict.fromkeys(k for row in results.rows for k in row.protocol)
  parts = []
  for field in fields:
    by_value = {}
    for row in results.rows:
      if field in row.protocol:
        by_value.setdefault(str(row.protocol[field]), []).append(row.label)
    if len(by_value) == 1:
      parts.append(f'{field} {next(iter(by_value))}')
    else:
      each = [f'{v} ({", ".join(rows)})' for v, rows in by_value.items()]
      parts.append(f'{field} {", ".join(each)}')
  return [*notes, f'{"; ".join(parts)}.']


def _markdown(results):
  title, *notes = make_notes(results)
  header = make_header(results)
  lines = [
    header,
    ['---', *('---:' for _ in header[1:])],
    *make_cells(results),
  ]
  rows = ['| ' + ' | '.join(_escape(x) for x in line) + ' |' for line in lines]
  return '\n'.join([title, '', *rows, '', *(f'* {x}' for x in notes), ''])


def _escape(cell):
  return cell.replace('|', '\\|')


def _csv(results):
  """A line for each row and figure, with everything that belongs to it."""
  fields = list(
    dict.fromkeys(
      k for row in results.rows for k in (*row.scored, *row.protocol)
    )
  )
  text = io.StringIO()
  out = csv.writer(text, lineterminator='\n')
  out.writerow(
    [
      *('table', 'pair', 'row', 'figure', 'mean', 'deviation', 'count'),
      *('difference', 'difference_deviation', 'difference_count'),
      *('paper', 'paper_pair', 'missing_seeds', 'seeds', 'checkpoint'),
      *(field.replace(' ', '_') for field in fields),
      'code',
    ]
  )
  for row in results.rows:
    for name in dict.fromkeys((*results.names, *row.paper)):
      out.writerow(_csv_line(results, row, name, fields))
  return text.getvalue()


def _csv_line(results, row, name, fields):
  plan, empty = results.plan, results_lib.average([])
  mean = row.figures.get(name, empty)
  difference = row.differences.get(name, empty)
  known = {**row.scored, **row.protocol}
  if 'label_resolution' in known:
    known['label_resolution'] = results_lib.format_size(
      known['label_resolution']
    )
  return [
    *(plan.table, plan.pair, row.label, name),
    *(_number(mean.value), _number(mean.deviation), mean.count),
    *(_number(difference.value), _number(difference.deviation)),
    *(difference.count, row.paper.get(name, '')),
    *(plan.paper_pair, ' '.join(map(str, row.missing))),
    *(' '.join(map(str, plan.seeds)), results.checkpoint),
    *(known.get(field, '') for field in fields),
    '; '.join(results.codes),
  ]


def _number(x):
  return '' if math.isnan(x) else f'{x:.4f}'
