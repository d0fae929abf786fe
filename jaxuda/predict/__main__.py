r"""Label maps of a folder of images. Needs no TF.

    jaxuda predict --workdir=DIR --images=FOLDER --out=FOLDER \
        [--checkpoint=last|best|STEP] [--flip] [--scales=0.75,1,1.25] [--window]
        [--batch_size=8] [--dtype=bfloat16]
    jaxuda predict --weights=FILE --config=dada:... \
        --images=VIDEO_OR_FOLDER --out=OVERLAY.mp4

--flip, --scales and --window average what several views of a picture give, see
`views`; --batch_size and --dtype are for speed on accelerators. FILE is a
published checkpoint or the folder of a conversion. With a video to write, the
colours lie over the frames.

Writes OUT/ids/NAME.png (class ids, one byte per pixel: places in the class set,
from 0 on) and OUT/colors/NAME.png (indexed colours), each of its image's own
size.
"""

import pathlib

from absl import flags

from jaxuda.evaluate import views as views_lib
from jaxuda.predict import prediction
from jaxuda.ui import command
from jaxuda.ui import image_files
from jaxuda.ui import video
from jaxuda.weights import runs


def main() -> int:
  """Runs the command line; 1 if a picture could not be read."""
  given = flags.FLAGS
  source, out = given.images, given.out
  options = {
    'views': views_lib.Views(
      scales=given.scales, flip=given.flip, window=given.window
    ),
    'batch_size': given.batch_size,
  }
  if pathlib.Path(out).suffix in video.VIDEOS:
    count = prediction.run_video(_load(given), source, out, **options)
    print(f'wrote {out}, {count} frames')
    return 0
  image_files.list_images(source)  # Before the network is loaded.
  bad = prediction.run_folder(_load(given), source, out, **options)
  print(f'wrote {out}/ids and {out}/colors')
  if bad:
    more = f' and {len(bad) - 5} more' if len(bad) > 5 else ''
    command.fail(
      f'pictures that could not be read: {len(bad)}: {"; ".join(bad[:5])}{more}'
    )
  return 0


def _load(given):
  run = runs.load(
    workdir=given.workdir,
    which=given.checkpoint,
    weights=given.weights,
    network=given.network,
    family=given.family,
    config=given.config,
  )
  return prediction.computing_in(run, given.dtype) if given.dtype else run


def _define_flags():
  command.define_config('With --weights: METHOD:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published file, or a conversion.')
  command.define_network()
  flags.DEFINE_string(
    'images', None, 'Folder of images; or a video.', required=True
  )
  flags.DEFINE_string(
    'out', None, 'Folder to write to; or a video.', required=True
  )
  command.define_views()
  flags.DEFINE_integer(
    'batch_size', 1, 'Pictures at once, if each is looked at once.', 1
  )
  flags.DEFINE_enum(
    'dtype',
    None,
    ['float32', 'bfloat16'],
    "What the network computes in; the training's if not given.",
  )
  command.define_checkpoint()


if __name__ == '__main__':
  _define_flags()
  command.run(main)
