r"""Draws a contact sheet of the street scenes of some domains.

    python scripts/show_streets.py --output=streets.png [--rows=6] [--seed=0] \
        [--domains=source,target]

One row per scene: image, labels, depth, right view, for every domain from left
to right: source, target, wide, wide-foliage, ... Needs neither TensorFlow nor
prepared data.
"""

from collections.abc import Sequence

from absl import flags
import numpy as np

from jaxuda import errors
from jaxuda import streets
from jaxuda.data.classes import labels
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

# Pixels between the domains.
_GAP = 12


def draw_row(
  domain: str, *, seed: int, index: int, height: int, width: int
) -> np.ndarray:
  """Draws image, labels, depth and right view side by side.

  Args:
    domain: name of a domain, such as 'source'.
    seed: seed of the scenes.
    index: index of the scene, from 0.
    height: rows of each picture.
    width: columns of each picture.

  Returns:
    uint8 [height, 4 * width, 3] RGB.
  """
  arguments = {'seed': seed, 'index': index, 'height': height, 'width': width}
  left = streets.render(domain, **arguments)
  right = streets.render(domain, view='right', **arguments)
  colors = labels.get_class_set('cityscapes19').colors
  return np.concatenate(
    [
      left['image'],
      panels.color_labels(left['label'], colors),
      panels.color_depth(left['depth']),
      right['image'],
    ],
    axis=1,
  )


def draw_sheet(
  domains: Sequence[str],
  *,
  rows: int,
  first: int,
  seed: int,
  height: int,
  width: int,
) -> np.ndarray:
  """Draws rows of all domains above a legend, uint8 [h, w, 3] RGB."""
  gap = np.full((height, _GAP, 3), 255, np.uint8)
  size = {'seed': seed, 'height': height, 'width': width}
  sheet = []
  indices = range(first, first + rows)
  for index in display.track(indices, name='streets', total=rows, unit='rows'):
    parts = [
      p for d in domains for p in (gap, draw_row(d, index=index, **size))
    ]
    sheet.append(np.concatenate(parts[1:], axis=1))
  classes = labels.get_class_set('cityscapes19')
  return panels.stack_with_legend(sheet, classes.names, classes.colors)


def main() -> None:
  """Runs the command line."""
  options = flags.FLAGS
  if options.rows < 1:
    raise errors.UserError(f'--rows is {options.rows}; expected at least 1')
  if not options.domains:
    raise errors.UserError(f'--domains is empty; expected {streets.FORM}')
  files.check_file(options.output)
  for domain in options.domains:
    streets.check_view(domain, 'left')
  sheet = draw_sheet(
    options.domains,
    rows=options.rows,
    first=options.first,
    seed=options.seed,
    height=options.height,
    width=options.width,
  )
  panels.write_png(options.output, sheet)
  print(options.output)


if __name__ == '__main__':
  flags.DEFINE_string('output', None, 'PNG file to write.', required=True)
  flags.DEFINE_list('domains', ['source', 'target'], 'Domains to draw.')
  flags.DEFINE_integer('rows', 6, 'Number of scenes of each domain.')
  flags.DEFINE_integer('first', 0, 'Index of the first scene.')
  flags.DEFINE_integer('seed', 0, 'Seed of the scenes.')
  flags.DEFINE_integer('height', 160, 'Height of a picture in pixels.')
  flags.DEFINE_integer('width', 320, 'Width of a picture in pixels.')
  command.run(main)
