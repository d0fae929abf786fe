"""Presents the results as text, Markdown and CSV, with their protocol."""

import csv
import io
import math
import pathlib
from typing import TextIO

from jaxuda.evaluate import tables
from jaxuda.reproduce import results as results_lib
from jaxuda.ui import display
from jaxuda.ui import files

# Width of table.txt in characters: enough for a dozen columns.
_WIDTH = 180
_CHECKPOINTS = {
  'last': 'the last checkpoint',
  'best': 'the best checkpoint by the main mIoU on the split that is scored',
}
_GAIN = 'D-gain'
_UNKNOWN = tables.average([])


def make_lines(results: results_lib.Results) -> list[list[str]]:
  """Returns the header and the cells of every row."""
  main, others = results.figures[:1], results.figures[1:]
  references, papers = results.plan.references, results.paper_names
  several = len(references) > 1
  header = [
    *('row', 'seeds', *(x.name for x in main)),
    *(
      f'{x.name}, diff.' + (f' to {reference}' if several else '')
      for x in main
      for reference in references
    ),
    *((_GAIN,) if results.gains else ()),
    *(x.name for x in others),
    *(f'paper {name}' for name in papers),
    *((f'paper {_GAIN}',) if results.gains else ()),
  ]
  lines = [header]
  for row in results.plan.rows:
    label, gains = row.label, []
    if results.gains:
      gained = main if label in results.gains else ()
      # One cell in any case, also before the first run is scored.
      gains = [_gain(results, label, x.name).show(sign='+') for x in gained]
      gains = gains or ['']
    lines.append(
      [
        _title(results, row),
        str(len(row.runs) - len(results.missing[label])) if row.runs else '',
        *(x.means[label].show() for x in main),
        *(
          _difference(results, reference, x.name, label).show(sign='+')
          if label != reference
          else ''
          for x in main
          for reference in references
        ),
        *gains,
        *(x.means[label].show() for x in others),
        *(_show(row.paper.get(x)) for x in papers),
        *((_show_gain(results, row),) if results.gains else ()),
      ]
    )
  return lines


def make_class_lines(results: results_lib.Results) -> list[list[str]]:
  """Returns the header and a line for each class; [] if classes are not shown.

  The columns are the rows of the table.
  """
  if not results.classes:
    return []
  rows = [row for row in results.plan.rows if row.runs]
  papers = [row for row in results.plan.rows if 'IoU' in row.paper]
  header = [
    *('class', *(row.label for row in rows)),
    *(f'paper {row.label}' for row in papers),
  ]
  lines = [
    [
      *(x.name, *(x.means[row.label].show() for row in rows)),
      *(_show(row.paper['IoU'].get(x.name)) for row in papers),
    ]
    for x in results.classes
  ]
  return [header, *lines]


def _title(results, row):
  if row.quoted:
    return f'{row.label} (quoted)'
  return row.label + (' (incomplete)' if results.missing[row.label] else '')


def _show(value):
  return '-' if value is None else str(value)


def _difference(results, reference, figure, label):
  by_row = results.differences[reference].get(figure, {})
  return by_row.get(label, _UNKNOWN)


def _gain(results, label, figure):
  return results.gains.get(label, {}).get(figure, _UNKNOWN)


def _paper_gain(results, row, figure):
  """Returns the gain from depth in the paper; None if unknown."""
  papers = {x.label: x.paper for x in results.plan.rows}
  without = papers.get(row.without_depth, {})
  if figure not in row.paper or figure not in without:
    return None
  return round(row.paper[figure] - without[figure], 1)


def _show_gain(results, row):
  """Returns the paper's gain from depth, for the first mean that it reports."""
  if not row.without_depth:
    return ''
  gains = (_paper_gain(results, row, x) for x in results.paper_names)
  gain = next((x for x in gains if x is not None), None)
  return '-' if gain is None else f'{gain:+.1f}'


def make_notes(results: results_lib.Results) -> list[str]:
  """Returns a title, and notes that explain the figures."""
  plan = results.plan
  seeds = ', '.join(map(str, plan.seeds))
  notes = [
    f'{plan.table} on {plan.pair}. {plan.title}',
    f'Mean and standard deviation (n - 1) over the seeds {seeds}, IoU in %, of'
    f' {_CHECKPOINTS[results.checkpoint]}; diff.: to'
    f' {" and to ".join(plan.references)},'
    ' mean and standard deviation of the differences seed by seed.',
  ]
  with_depth = [row for row in plan.rows if row.without_depth]
  if with_depth:
    pairs = (f'{row.label} over {row.without_depth}' for row in with_depth)
    notes.append(f'{_GAIN}: gain from depth, {", ".join(pairs)}.')
  if plan.against:
    notes.append(
      f'{results_lib.NEGATIVE_TRANSFER}: share of the images, in %, with a'
      f' lower mIoU than under {plan.against} of the same seed.'
    )
  if results.paper_names:
    own = '' if plan.paper_pair == plan.pair else ', not this pair'
    notes.append(
      f"paper: the authors' figures on {plan.paper_pair}{own}, by the paper's"
      ' protocol.'
    )
  notes += _describe_protocols(results.protocols)
  for row in plan.rows:
    if row.quoted:
      notes.append(f'{row.label}: quoted from {row.quoted}, not run.')
    if row.same_as:
      notes.append(f'{row.label}: shares the runs of {row.same_as}.')
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


def write(results: results_lib.Results, folder: pathlib.Path) -> None:
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


def print_results(
  results: results_lib.Results, stream: TextIO | None = None
) -> None:
  """Prints the table with its notes, on stdout if `stream` is None."""
  title, *notes = make_notes(results)
  header, *lines = make_lines(results)
  display.print_table(title, header, lines, stream=stream, width=_WIDTH)
  if classes := make_class_lines(results):
    header, *lines = classes
    title = 'IoU of each class in %'
    display.print_table(title, header, lines, stream=stream, width=_WIDTH)
  for note in notes:
    print(note, file=stream)


def _markdown(results):
  title, *notes = make_notes(results)
  parts = [title, '', *_markdown_table(make_lines(results)), '']
  if classes := make_class_lines(results):
    parts += [*_markdown_table(classes), '']
  return '\n'.join([*parts, *(f'* {x}' for x in notes), ''])


def _markdown_table(lines):
  header, *lines = lines
  lines = [header, ['---', *('---:' for _ in header[1:])], *lines]
  escaped = [[cell.replace('|', '\\|') for cell in line] for line in lines]
  return [f'| {" | ".join(line)} |' for line in escaped]


def _csv(results):
  """Returns a line for each row and figure, with its complete protocol."""
  lines = [
    line for row in results.plan.rows for line in _csv_lines(results, row)
  ]
  fields = list(dict.fromkeys(k for line in lines for k in line))
  text, code = io.StringIO(), '; '.join(results.codes)
  out = csv.DictWriter(text, [*fields, 'code'], lineterminator='\n', restval='')
  out.writeheader()
  out.writerows({**line, 'code': code} for line in lines)
  return text.getvalue()


def _csv_lines(results, row):
  """Yields the lines of a row."""
  plan, label = results.plan, row.label
  protocol = dict(results.protocols[label])
  if 'label_resolution' in protocol:
    protocol['label_resolution'] = tables.format_size(
      protocol['label_resolution']
    )
  figures = {x.name: x for x in (*results.figures, *results.classes)}
  paper = {k: v for k, v in row.paper.items() if k != 'IoU'}
  paper |= row.paper.get('IoU', {})
  for name in dict.fromkeys((*figures, *paper)):
    mean = figures[name].means[label] if name in figures else _UNKNOWN
    line = {
      **{'table': plan.table, 'pair': plan.pair, 'row': label, 'figure': name},
      **{'mean': _number(mean.value), 'deviation': _number(mean.deviation)},
      'count': mean.count,
    }
    for number, reference in enumerate(plan.references, 1):
      difference = _difference(results, reference, name, label)
      start = 'difference' if number == 1 else f'difference{number}'
      line |= _csv_mean(start, difference) | {f'{start}_to': reference}
    if results.gains:
      line |= _csv_mean('d_gain', _gain(results, label, name))
      gain = _paper_gain(results, row, name)
      line['paper_d_gain'] = '' if gain is None else gain
    yield {
      **line,
      'paper': paper.get(name, ''),
      'paper_pair': plan.paper_pair,
      'quoted': row.quoted,
      'missing_seeds': ' '.join(map(str, results.missing[label])),
      'seeds': ' '.join(map(str, plan.seeds)),
      'checkpoint': results.checkpoint,
      **{k.replace(' ', '_'): value for k, value in protocol.items()},
    }


def _csv_mean(name, mean):
  return {
    name: _number(mean.value),
    f'{name}_deviation': _number(mean.deviation),
    f'{name}_count': mean.count,
  }


def _number(x):
  return '' if math.isnan(x) else f'{x:.4f}'
