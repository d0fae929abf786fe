r"""Learns depth of single images from image sequences (Monodepth2).

    python -m jaxuda.depth.mono --config=monodepth --workdir=DIR
    python -m jaxuda.depth.mono --workdir=DIR --images=FOLDER --out=FOLDER
    python -m jaxuda.depth.mono --workdir=DIR --dataset=NAME --out=FOLDER
    python -m jaxuda.depth.mono --workdir=DIR --evaluate

Trains, or resumes an unfinished training. With --images, it writes the
disparity of a folder of images, including subfolders; with --dataset, that of a
prepared dataset (--split=train), under the names of its examples. It writes
16-bit PNGs in CorDA's format, 65535 for the nearest pixel and 0 for no value,
and `depth.json`, for `config.data.target.depth_dir` to read. For Cityscapes
laid out as in CorDA, use --images=.../leftImg8bit --out=.../disparity.

With --config.distributed=True several processes train together:
docs/clusters.md.
"""

from collections.abc import Collection
import sys

from absl import flags

from jaxuda import errors
from jaxuda.run import cluster
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import files

# Task -> the flags that it has besides --workdir.
_TASKS = {
  'images': ('out', 'checkpoint', 'normalization', 'data_dir'),
  'dataset': (
    *('out', 'checkpoint', 'normalization'),
    *('split', 'data_dir', 'manual_dir'),
  ),
  'evaluate': ('checkpoint', 'data_dir'),
  'config': (),
}


def choose_task(given: Collection[str]) -> str:
  """Returns the task that the flags ask for, a key of `_TASKS`.

  Args:
    given: names of the flags that are given.

  Raises:
    UserError: they ask for no task or several, or one does not belong to it.
  """
  named = [x for x in _TASKS if x in given]
  if len(named) != 1:
    raise errors.UserError(
      'expected one of --config to train, --images or --dataset to write'
      f' disparity, or --evaluate; got {" and ".join(named) or "none"}'
    )
  (task,) = named
  for flag in _TASKS['dataset']:
    if flag in given and flag not in _TASKS[task]:
      raise errors.UserError(
        f'--{flag} does not apply to --{task}; expected it to be left out, or'
        ' given to another command afterwards'
      )
  if 'out' in _TASKS[task] and 'out' not in given:
    raise errors.UserError('--out is not set; expected a folder to write to')
  return task


def main() -> None:
  """Runs the command line."""
  options = flags.FLAGS
  # Others have defaults.
  own = (x for x in options if options[x].present or x in _TASKS)
  choose_task([x for x in own if options[x].value])
  asked = bool(options.config and options.config.get('distributed'))
  with cluster.joined(asked, switch='--config.distributed=True'):
    _main(options)


def _main(options):
  # TensorFlow takes seconds to load; a misspelt flag is reported before that.
  from jaxuda.data.records import rows
  from jaxuda.depth import maps
  from jaxuda.depth.mono import disparity
  from jaxuda.depth.mono import scoring
  from jaxuda.depth.mono import training

  command.hide_accelerators()
  images = None
  if options.images:
    note = lambda line: print(f'note: {line}', file=sys.stderr)
    images = maps.Folder(options.images, note=note)
    files.check_apart(options.out, options.images)
  if options.config:
    training.train(options.config, options.workdir)
    return
  run = training.load(options.workdir, which=options.checkpoint)
  if options.data_dir:
    run.config.data.data_dir = options.data_dir
  if options.evaluate:
    print(display.format_values(scoring.evaluate_run(run)))
    return
  names = ('split', 'data_dir', 'manual_dir')
  where = {name: options[name].value for name in names}
  images = images or rows.Images(options.dataset, **where)
  count = disparity.write_disparities(
    run, images, options.out, normalization=options.normalization
  )
  print(f'wrote {count} maps to {options.out}')


if __name__ == '__main__':
  string = flags.DEFINE_string
  command.define_config('Config to train with: monodepth:argument=value,...')
  string('workdir', None, 'Folder of the run.', required=True)
  string('images', None, 'Folder of images to write the disparity of.')
  string('dataset', None, 'Prepared dataset to write the disparity of.')
  string('split', 'train', 'Split of --dataset.')
  command.define_data('named')
  string('out', None, 'Folder to write to.')
  string(
    'checkpoint',
    'last',
    'Checkpoint of the run: last, best (by abs_rel) or a step.',
  )
  flags.DEFINE_bool('evaluate', False, 'Score the run against true depth.')
  flags.DEFINE_enum(
    'normalization',
    'all',
    ('all', 'image', 'none'),
    'Disparity stored as 65535: the largest of all images, the largest of each'
    ' image, or (none) the largest that the network can predict.',
  )
  command.define_cluster()
  command.run(main)
