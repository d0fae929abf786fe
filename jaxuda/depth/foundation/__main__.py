r"""Predicts depth of single images with a foundation network, Depth Anything.

    jaxuda depth foundation --images=FOLDER --weights=FILE --out=FOLDER \
        [--family=depth_anything_v2|...] [--side=518] [--dtype=bfloat16] \
        [--align=DATASET [--split=train] [--data_dir=DIR] [--manual_dir=DIR]]

FILE is a model.safetensors from the Hugging Face hub with its config.json next
to it, a folder with both, or the folder of a conversion. Without a config.json,
--family says whether it is depth_anything_v1, depth_anything_v2 (relative),
depth_anything_v2_indoor or depth_anything_v2_outdoor (metric). V2's small
network is Apache-2.0; its others are not for commercial use, see
`models.depth_anything`.

Writes a 16-bit PNG for each image, including subfolders, and depth.json, in the
form that `config.data.target.depth_dir` reads: metres for a metric network; for
a relative one inverse depth without a unit (65535 for the nearest pixel of each
image) or, with --align, metres by a guess, see `coding`. Running the same
command again resumes it. TensorFlow is needed only for --align.
"""

import functools
import sys

from absl import flags

from jaxuda import errors
from jaxuda.depth import maps
from jaxuda.depth.foundation import coding
from jaxuda.depth.foundation import estimation
from jaxuda.ui import command
from jaxuda.ui import files

# Flags that have no meaning without --align.
_OF_ALIGN = ('split', 'data_dir', 'manual_dir')


def main() -> None:
  """Runs the command line."""
  options = flags.FLAGS
  for name in _OF_ALIGN:
    if options[name].value is not None and not options.align:
      raise errors.UserError(
        f'--{name} has no meaning without --align; expected it to be left out'
      )
  note = lambda line: print(f'note: {line}', file=sys.stderr)
  images = maps.Folder(options.images, note=note)
  files.check_apart(options.out, options.images)
  maps.check_out(options.out, made_by=coding.MADE_BY)
  network = estimation.load(
    options.weights,
    family=options.family,
    side=options.side,
    dtype=options.dtype,
  )
  aligned = None
  if options.align:
    if network.metric:
      raise errors.UserError(
        f'--align={options.align}: {options.weights} already predicts metres;'
        ' expected it to be left out'
      )
    command.hide_accelerators()
    given = {x: options[x].value for x in _OF_ALIGN}
    where = {x: value for x, value in given.items() if value is not None}
    aligned = coding.measure(options.align, **where)
  description = coding.describe(network, aligned=aligned)
  encode = functools.partial(
    coding.encode,
    metric=network.metric,
    quantiles=aligned and aligned['quantiles'],
  )
  print(f'{network.record["title"]}: {description["meaning"]}')
  written = maps.write(
    lambda image: encode(network.predict(image)),
    images,
    options.out,
    description=description,
  )
  print(f'wrote {written} of {len(images)} maps to {options.out}')


if __name__ == '__main__':
  string = flags.DEFINE_string
  string('images', None, 'Folder of images.', required=True)
  string('weights', None, 'File or folder of weights.', required=True)
  string('out', None, 'Folder to write to.', required=True)
  string('family', '', 'Family of weights without a config.json.')
  flags.DEFINE_integer(
    'side', 518, 'Shorter side of the network input in pixels.'
  )
  flags.DEFINE_enum(
    *('dtype', 'float32', ['float32', 'bfloat16']),
    'Data type in which the layers compute.',
  )
  string('align', None, 'Dataset to whose depth relative depth is aligned.')
  string('split', None, 'Split of the dataset of --align; train if unset.')
  string('data_dir', None, 'Folder of the prepared TFDS datasets.')
  string('manual_dir', None, 'Folder with the downloaded dataset of --align.')
  command.run(main)
