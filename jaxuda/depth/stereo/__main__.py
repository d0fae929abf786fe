r"""Computes depth from rectified pairs by semi-global matching.

    python -m jaxuda.depth.stereo --cityscapes=DIR --out=DIR [--split=train]
    python -m jaxuda.depth.stereo --kitti=DIR --out=DIR
    python -m jaxuda.depth.stereo --dataset=streets/target_stereo --out=DIR
    python -m jaxuda.depth.stereo --left=DIR --right=DIR --baseline=0.54 \
        --focal=721 --out=DIR

Writes a file for each pair and resumes where it was stopped; existing maps that
were made with other options or of other images, as recorded in stereo.json, are
an error. --format chooses the format (see `depth.formats`): depth (for
`config.data.target.depth_dir`), mat (CorDA's stereo depth), cityscapes or
kitti. --fill=planes leaves no holes. With --evaluate, the maps are also
compared with the true depth where it exists: the share of pixels that are off
by more than 3 pixels, and the median error.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from jaxuda import errors
from jaxuda.depth import formats
from jaxuda.depth.stereo import estimation
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import files

# Flags that belong to each source.
_OPTIONS = {
  'cityscapes': ('split',),
  'kitti': ('split',),
  'dataset': ('split', 'data_dir'),
  'left': ('baseline', 'focal'),
}


def find_pairs(options: dict[str, Any]) -> list[pairs.Pair]:
  """Finds the pairs named by the flags.

  Raises:
    UserError: not exactly one source is named, or it has a problem.
  """
  named = [x for x in ('cityscapes', 'kitti', 'dataset', 'left') if options[x]]
  if len(named) != 1 or bool(options['left']) != bool(options['right']):
    raise errors.UserError(
      'expected one of --cityscapes=DIR, --kitti=DIR, --dataset=NAME, or --left'
      f'=DIR with --right=DIR; got {", ".join(named) or "none"}'
    )
  unused = [
    x
    for x in ('split', 'data_dir', 'baseline', 'focal')
    if options[x] is not None and x not in _OPTIONS[named[0]]
  ]
  if unused:
    raise errors.UserError(
      f'--{unused[0]} does not apply to --{named[0]}; expected it to be left'
      ' out'
    )
  split = options['split'] or ''
  if named == ['dataset']:
    return pairs.find_prepared(
      options['dataset'], split=split or 'train', data_dir=options['data_dir']
    )
  folder = pathlib.Path(options[named[0]]).expanduser()
  if named == ['left']:
    right = pathlib.Path(options['right']).expanduser()
    for read in (folder, right) if options['out'] else ():
      files.check_apart(options['out'], read)
    return pairs.find_folders(
      folder,
      right,
      baseline=options['baseline'],
      focal=options['focal'],
    )
  find = {'cityscapes': pairs.find_cityscapes, 'kitti': pairs.find_kitti}
  return find[named[0]](folder, split=split)


def main() -> None:
  """Runs the command line."""
  command.hide_accelerators()
  options = flags.FLAGS.flag_values_dict()
  if not options['out'] and not options['evaluate']:
    raise errors.UserError('nothing to do: expected --out or --evaluate')
  fields = [x.name for x in dataclasses.fields(matching.Options)]
  found = find_pairs(options)
  result = estimation.run(
    found,
    options['out'],
    options=matching.Options(**{x: options[x] for x in fields}),
    form=options['format'],
    evaluate=options['evaluate'],
    workers=options['workers'],
    camera={x: options[x] for x in ('baseline', 'focal')},
  )
  if options['out']:
    print(f'{len(found)} maps are in {options["out"]}')
  if result:
    print(display.format_values(result))


if __name__ == '__main__':
  string = flags.DEFINE_string
  string('cityscapes', None, 'Folder of Cityscapes.')
  string('kitti', None, 'Folder of a KITTI stereo benchmark.')
  string('dataset', None, 'Prepared dataset with right views.')
  string('data_dir', None, 'Folder of the prepared TFDS datasets.')
  string('left', None, 'Folder of left images.')
  string('right', None, 'Folder of right images.')
  flags.DEFINE_float(
    'baseline', None, 'Distance between the two cameras in metres.'
  )
  flags.DEFINE_float('focal', None, 'Focal length in pixels.')
  string('split', None, 'Split to read; all, or train of --dataset, if unset.')
  string('out', None, 'Folder to write to.')
  flags.DEFINE_enum(
    'format', 'depth', formats.STEREO, 'Format of the maps, see depth.formats.'
  )
  flags.DEFINE_bool('evaluate', False, 'Compare with the true depth.')
  flags.DEFINE_integer('workers', 0, 'Number of threads; 0: one per core.', 0)
  define = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
  texts = {
    'max_disparity': 'Largest disparity in pixels; 0: an eighth of the width.',
    'block': 'Side of the matched blocks in pixels, odd and at most 17.',
    'paths': 'Paths of the matching: 3way, 5way or 8way.',
    'uniqueness': 'Margin in percent by which the best match must win.',
    'speckle_size': 'Size in pixels up to which islands are removed.',
    'speckle_range': 'Largest step between neighbours of an island, in pixels.',
    'check': 'Largest left-right difference in pixels; negative: no check.',
    'fill': 'How holes are filled: none, background or planes.',
  }
  for field in dataclasses.fields(matching.Options):
    text = texts[field.name]
    define.get(field.type, string)(field.name, field.default, text)
  command.run(main)
