r"""Looks for everything about a dataset that would spoil a training run.

    python -m jaxuda.data.doctor --dataset=synthia --manual_dir=DIR \
        [--pictures=DIR] [--classes=synthia16] [--limit=500]

reads the user's own files, folders or archives; without --manual_dir the
dataset that was prepared in --data_dir. It prints what was found and expected,
unpaired files, sizes, the share of every class, the range of raw depth and how
much of it is zero or saturated, and each broken file by its name. Exit status 1
if anything was found that would spoil a training run. --pictures writes a
contact sheet of each split: image, colours of the labels, depth.
"""

import pathlib

from absl import flags
import cv2
import numpy as np

from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels
from jaxuda.data.doctor import diagnosis
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import findings
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import panels

# The classes of the papers.
_CLASSES = {
  'synthia': 'synthia16',
  'mapillary': 'coarse7',
  'mapillary_v2': 'coarse7',
  'kitti': 'kitti10',
  'vkitti': 'kitti10',
  'camvid': 'camvid11',
}
_NAMED = 50
_WIDTH = 320


def print_report(
  report: diagnosis.Report, *, classes: str | None = None
) -> None:
  """Prints the tables and the problems on stdout.

  Args:
    report: what was found.
    classes: class set whose shares are shown, a name or a file; default: the
      dataset's own, or the papers'.

  Raises:
    UserError: the labels have no map to `classes`.
  """
  title, class_set, table = _choose_classes(report, classes)
  print(f'{report.dataset}: {report.layout}')
  _print_files(report)
  for split, found in report.examined.items():
    if found.labelled:
      display.print_table(
        f'labels of {split} as {title}',
        ('class', 'raw ids', 'pixels', 'images'),
        findings.describe_ids(
          found,
          known=labels.raw_ids(report.ids, own=report.own),
          table=table,
          names=class_set.names,
        ),
      )
  if classes and (report.own or class_tables.is_table(classes)):
    _print_unmatched(report, classes, class_set, table)
  _print_depth(report)
  _print_problems(report)


def _choose_classes(report, classes):
  """Returns what is shown: a title, a class set, and the map to it."""
  if report.own and not classes:
    # As they are: a map to any class set would be by name.
    table = np.full(256, labels.IGNORE, np.uint8)
    table[1 : len(report.own.names) + 1] = np.arange(len(report.own.names))
    return 'its own classes', report.own, table
  classes = classes or _CLASSES.get(report.ids, 'cityscapes19')
  table = labels.label_map(report.ids, classes, own=report.own)
  return classes, labels.get_class_set(classes), table


def _print_unmatched(report, classes, class_set, table):
  """Says which names the dataset and the class set do not share."""
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
    sizes = ''
    if found:
      common = found.sizes['image'].most_common(2)
      sizes = ', '.join(f'{w}x{h}' for (h, w), _ in common)
      more = len(found.sizes['image']) - len(common)
      sizes += f' and {more} more' if more > 0 else ''
    expected = report.expected.get(split)
    rows.append(
      (
        split,
        str(images),
        '-' if expected is None else str(expected),
        str(labelled),
        str(deep),
        sizes,
        str(found.images if found else 0),
      )
    )
  display.print_table(
    'files',
    ('split', 'images', 'expected', 'labels', 'depth', 'sizes', 'whole images'),
    rows,
  )


def _print_depth(report):
  rows = []
  for split, found in report.examined.items():
    if not found.deep:
      continue
    raw = 'none' if found.low is None else f'{found.low}..{found.high}'
    rows.append(
      (
        split,
        str(found.deep),
        report.code.code,
        raw,
        f'{found.zero / found.pixels:.2%}',
        f'{found.far / found.pixels:.2%}',
        _show_metres(report, split, found),
      )
    )
  if rows:
    display.print_table(
      'depth',
      ('split', 'maps', 'code', 'raw', 'zero', '65535', 'metres of these'),
      rows,
    )


def _show_metres(report, split, found):
  if found.low is None:
    return '-'
  factor = next((x.factor for x in report.samples[split] if x.factor), 1.0)
  metres, _ = depth_codes.measure(
    np.array([found.low, found.high], np.uint16), report.code, factor=factor
  )
  near, far = sorted(metres.numpy().tolist())
  unit = ' (no unit)' if report.code.code == 'inverse' else ''
  return f'{near:.2f}..{far:.2f}{unit}'


def _print_problems(report):
  if not report.problems:
    print('no problems')
    return
  kinds: dict[tuple[bool, str], int] = {}
  for x in report.problems:
    kinds[x.fatal, x.kind] = kinds.get((x.fatal, x.kind), 0) + 1
  display.print_table(
    'problems',
    ('kind', 'how many', 'spoils training'),
    [(kind, str(n), 'yes' if f else 'no') for (f, kind), n in kinds.items()],
  )
  shown: dict[str, int] = {}
  for x in report.problems:
    shown[x.kind] = shown.get(x.kind, 0) + 1
    if shown[x.kind] <= _NAMED:
      print(f'{"error" if x.fatal else "note"}: {x.text}')
  for kind, count in shown.items():
    if count > _NAMED:
      print(f'... and {count - _NAMED} more of: {kind}')


def write_pictures(
  report: diagnosis.Report, folder: str, *, classes: str | None = None
) -> list[pathlib.Path]:
  """Writes a contact sheet of each split: image, labels, depth.

  Args:
    report: what was found.
    folder: is made if missing.
    classes: class set of the colours; default as of `print_report`.

  Returns:
    The files.
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
    name = f'{report.dataset.replace("/", "_")}_{split}.png'
    paths.append(pathlib.Path(folder, name))
    panels.write_png(paths[-1], panels.stack([*rows, legend]))
  return paths


def _draw(sample, table, colors, code):
  height = max(1, _WIDTH * sample.image.shape[0] // sample.image.shape[1])
  size = (_WIDTH, height)
  row = [cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)]
  if sample.label is not None:
    label = cv2.resize(sample.label, size, interpolation=cv2.INTER_NEAREST)
    row.append(panels.color_labels(table[label], colors))
  if sample.depth is not None:
    raw = cv2.resize(sample.depth, size, interpolation=cv2.INTER_NEAREST)
    metres, valid = depth_codes.measure(raw, code, factor=sample.factor)
    row.append(panels.color_depth(metres.numpy(), valid=valid.numpy()))
  return np.concatenate(row, axis=1)


def main() -> int:
  """Runs the command; returns its exit status."""
  command.hide_accelerators()
  values = flags.FLAGS
  report = diagnosis.diagnose(
    values.dataset,
    manual_dir=values.manual_dir,
    data_dir=values.data_dir,
    limit=values.limit,
  )
  print_report(report, classes=values.classes)
  if values.pictures:
    for path in write_pictures(report, values.pictures, classes=values.classes):
      print(path)
  return int(report.fatal)


def define_flags():
  """Only when run as a program: others have flags of these names."""
  flags.DEFINE_string(
    'dataset', None, 'For example cityscapes/stereo.', required=True
  )
  flags.DEFINE_string(
    'manual_dir', None, 'Folder or archive of the files; none: prepared data.'
  )
  flags.DEFINE_string('data_dir', None, 'Where prepared data are.')
  flags.DEFINE_string('pictures', None, 'Folder for contact sheets.')
  flags.DEFINE_string(
    'classes', None, 'Class set that is counted, a name or a class table.'
  )
  flags.DEFINE_integer(
    'limit', None, 'Examples of a split that are read.', lower_bound=1
  )
