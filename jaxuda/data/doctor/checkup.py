"""The report of the doctor: tables, problems, and contact sheets."""

import collections
import pathlib
import re

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import diagnosis
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import resizing
from jaxuda.data.store import findings
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

# Dataset -> the papers' class set, for which class shares are shown.
_CLASSES = {
  'synthia': 'synthia16',
  'mapillary': 'coarse7',
  'mapillary_v2': 'coarse7',
  'kitti': 'kitti10',
  'vkitti': 'kitti10',
  'camvid': 'camvid11',
  'idd_lite': 'idd7',
}
# Maximum number of problems of one kind to name.
_NAMED = 50
# Width in pixels of a cell of a contact sheet.
_WIDTH = 320
# Maximum height, to which pictures of a few columns are squeezed.
_HIGHEST = 1280


def print_report(
  report: diagnosis.Report, *, classes: str | None = None
) -> None:
  """Prints the tables and the problems on stdout.

  Args:
    report: findings of the doctor.
    classes: class set for which class shares are shown, a name or a file;
      default: the dataset's own classes if it has any, else the papers'.

  Raises:
    UserError: the labels cannot be mapped to `classes`.
  """
  title, class_set, table = _choose_classes(report, classes)
  # A folder's own ids, which `_print_codes` shows, are renumbered when stored.
  column = 'stored as' if report.codes else 'raw ids'
  print(f'{report.dataset}: {report.layout}')
  _print_files(report)
  for split, found in report.examined.items():
    if found.labelled:
      display.print_table(
        f'labels of {split} as {title}',
        ('class', column, 'pixels', 'images'),
        _describe_ids(report, found, class_set, table),
      )
  if classes and (report.own or class_tables.is_table(classes)):
    _print_unmatched(report, classes, class_set, table)
  _print_codes(report)
  _print_depth(report)
  _print_unused(report)
  _print_problems(report)


def _choose_classes(report, classes):
  """Returns the class set to show: its title, itself, and the map to it."""
  if report.own and not classes:
    # The ids as stored: a map to a class set would go by name.
    table = np.full(256, labels.IGNORE, np.uint8)
    table[1 : len(report.own.names) + 1] = np.arange(len(report.own.names))
    return 'its own classes', report.own, table
  classes = classes or _CLASSES.get(report.ids, 'cityscapes19')
  table = labels.label_map(report.ids, classes, own=report.own)
  return classes, labels.get_class_set(classes), table


def _describe_ids(report, found, class_set, table):
  """Returns rows: class, its raw ids, its share of pixels and of images."""
  known = labels.raw_ids(report.ids, own=report.own)
  total = max(found.ids.sum(), 1)
  rows = []
  for i, name in [*enumerate(class_set.names), (labels.IGNORE, 'ignored')]:
    raw = [x for x in known if table[x] == i]
    pixels = found.ids[table == i].sum() / total
    images = found.seen[table == i].max(initial=0) / max(found.labelled, 1)
    shown = ' '.join(str(x) for x in raw)
    if len(shown) > 30:
      shown = f'{len(raw)} ids'
    rows.append((name, shown, f'{pixels:.4%}', f'{images:.1%}'))
  return rows


def _print_codes(report):
  """Prints the ids as they are in the user's files."""
  for split, found in report.examined.items():
    total = max(sum(found.codes.values()), 1)
    rows = []
    for number in sorted({*found.codes, *report.codes}):
      shown = findings.show_code(number, report.codes)
      _, name = report.codes.get(number, ('', 'not in the table'))
      rows.append((shown, name, f'{found.codes[number] / total:.4%}'))
    if found.codes:
      title = f'ids in the labels of {split}'
      display.print_table(title, ('id', 'class', 'pixels'), rows)


def _print_unused(report):
  """Prints the files that no example uses, grouped by similar names."""
  alike: dict[tuple[str, ...], list[str]] = {}
  for path, reason in report.unused:
    place = pathlib.PurePath(path)
    stem = re.sub('[0-9]+', '*', place.stem)
    alike.setdefault((stem, place.suffix.lower(), reason), []).append(path)
  groups = sorted(alike.items(), key=lambda x: -len(x[1]))
  rows = [(str(len(x)), x[0], reason) for (*_, reason), x in groups[:_NAMED]]
  if rows:
    head = ('files', 'first', 'why')
    display.print_table('unused files', head, rows)
  if len(groups) > _NAMED:
    print(f'... and {sum(len(x) for _, x in groups[_NAMED:])} more')


def _print_unmatched(report, classes, class_set, table):
  """Prints the class names that the dataset and class set do not share."""
  count = sum(found.ids for found in report.examined.values())
  names = labels.name_ids(report.ids, classes, own=report.own)
  ignored = [
    f'{name} ({count[list(ids)].sum() / count.sum():.2%} of the pixels)'
    for name, ids in names.items()
    if (table[list(ids)] == labels.IGNORE).all() and count[list(ids)].any()
  ]
  absent = [x for i, x in enumerate(class_set.names) if i not in table]
  if ignored:
    print(
      f'note: {classes} does not have these classes of {report.dataset}; they'
      f' are ignored: {", ".join(ignored)}'
    )
  if absent:
    print(
      f'note: {report.dataset} does not have these classes of {classes}:'
      f' {", ".join(absent)}'
    )


def _print_files(report):
  rows = []
  for split in dict.fromkeys((*report.counts, *report.expected)):
    images, labelled, deep = report.counts.get(split, (0, 0, 0))
    found = report.examined.get(split)
    shown = found.sizes['image'].most_common() if found else []
    sizes = ', '.join(f'{w}x{h}' for (h, w), _ in shown[:2])
    sizes += f' and {len(shown) - 2} more' if len(shown) > 2 else ''
    expected, whole = report.expected.get(split, '-'), found and found.images
    cells = (split, images, expected, labelled, deep, sizes, whole or 0)
    rows.append([str(x) for x in cells])
  display.print_table(
    'files',
    ('split', 'images', 'expected', 'labels', 'depth', 'sizes', 'whole images'),
    rows,
  )


def _print_depth(report):
  rows = []
  for split, found in report.examined.items():
    if found.deep:
      share = found.depths / found.depths.sum()
      ends = found.measured[[0, -1]] if found.measured.size else None
      raw, metres = 'none', '-'
      if ends is not None:
        raw = f'{ends[0]}..{ends[1]}'
        metres = _show_metres(report, split, ends)
      zero, far = f'{share[0]:.2%}', f'{share[-1]:.2%}'
      maps = str(found.deep)
      rows.append((split, maps, report.code.code, raw, zero, far, metres))
  if rows:
    display.print_table(
      'depth',
      ('split', 'maps', 'code', 'raw', 'zero', '65535', 'metres of these'),
      rows,
    )


def _show_metres(report, split, raw):
  factor = next((x.factor for x in report.samples[split] if x.factor), 1.0)
  metres, _ = depth_codes.measure(
    raw.astype(np.uint16), report.code, factor=factor
  )
  near, far = sorted(metres.numpy().tolist())
  unit = ' (no unit)' if report.code.code == 'inverse' else ''
  return f'{near:.2f}..{far:.2f}{unit}'


def _print_problems(report):
  if not report.problems:
    print('no problems')
    return
  kinds = collections.Counter((x.fatal, x.kind) for x in report.problems)
  display.print_table(
    'problems',
    ('kind', 'how many', 'spoils training'),
    [(kind, str(n), 'yes' if f else 'no') for (f, kind), n in kinds.items()],
  )
  shown: collections.Counter[str] = collections.Counter()
  for x in report.problems:
    shown[x.kind] += 1
    if shown[x.kind] <= _NAMED:
      print(f'{"error" if x.fatal else "note"}: {x.text}')
  for kind, count in shown.items():
    if count > _NAMED:
      print(f'... and {count - _NAMED} more of: {kind}')


def check_pictures(folder: str, *, dataset: str, manual_dir: str) -> None:
  """Checks that contact sheets would not be read as files of the dataset.

  Args:
    folder: folder for `write_pictures`, which need not exist yet.
    dataset: name of the dataset.
    manual_dir: the user's folder or archive.

  Raises:
    UserError: the sheets would be among the images, labels or depth.
  """
  family = registry.find(dataset)
  spec = family.describe(dataset, manual_dir) if family.describe else None
  if spec is None:
    return
  splits = list(spec.splits)
  patterns = [x.compile(splits) for y in spec.spellings.values() for x in y]
  for place in files.places(folder, manual_dir):
    for split in spec.splits.values():
      path = (place / _name_sheet(dataset, split)).as_posix()
      if any(x.fullmatch(path) for x in patterns):
        raise errors.UserError(
          f'--pictures={folder} is among the files of {dataset}, with which'
          ' its pictures would be read next time; expected another folder'
        )


def _name_sheet(dataset, split):
  return f'{dataset.replace("/", "_")}_{split}.png'


def write_pictures(
  report: diagnosis.Report, folder: str, *, classes: str | None = None
) -> list[pathlib.Path]:
  """Writes a contact sheet of each split: image, labels, depth.

  Args:
    report: findings of the doctor.
    folder: folder to write to, created if it is missing.
    classes: class set that gives the colours; default as in `print_report`.

  Returns:
    The paths of the files written.
  """
  _, known, table = _choose_classes(report, classes)
  paths = []
  for split, samples in report.samples.items():
    rows = [_draw(x, table, known.colors, report.code) for x in samples]
    if not rows:
      continue
    legend = panels.draw_legend(
      known.names, known.colors, width=rows[0].shape[1]
    )
    paths.append(pathlib.Path(folder, _name_sheet(report.dataset, split)))
    panels.write_png(paths[-1], panels.stack([*rows, legend]))
  return paths


def _draw(sample, table, colors, code):
  height, width = sample.image.shape[:2]
  height = max(1, min(_WIDTH * height // width, _HIGHEST))
  size = (_WIDTH, height)
  row = [cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)]
  if sample.label is not None:
    label = resizing.resize_label(sample.label, size[::-1])
    row.append(panels.color_labels(table[label], colors))
  if sample.depth is not None:
    raw = resizing.resize_depth(sample.depth, size[::-1])
    metres, valid = depth_codes.measure(raw, code, factor=sample.factor)
    row.append(panels.color_depth(metres.numpy(), valid=valid.numpy()))
  return np.concatenate(row, axis=1)
