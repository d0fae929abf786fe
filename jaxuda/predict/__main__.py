r"""Segments a folder of images or a video. Needs no TF.

    jaxuda predict --workdir=DIR --images=FOLDER --out=FOLDER \
        [--checkpoint=last|best|STEP] [--flip] [--scales=0.75,1,1.25] [--window]
        [--batch_size=8] [--dtype=bfloat16] [--confidence] [--panels]
    jaxuda predict --weights=FILE --config=dada:... \
        --images=VIDEO_OR_FOLDER --out=OVERLAY.mp4

--flip, --scales and --window average the predictions for several views of a
picture, see `views`; --batch_size and --dtype are for speed on accelerators,
all of which are used. FILE is a published checkpoint or the folder of a
conversion. If OUT is a video, the colours are laid over the frames.

Writes OUT/ids/NAME.png (class ids, one byte per pixel: indices into the class
set, from 0) and OUT/colors/NAME.png (indexed colours), each at the size of its
image; with --confidence also OUT/confidence/NAME.png, 8-bit grey: 255 times the
largest class probability of each pixel, rounded (of the mean over all views);
with --panels also OUT/panels/NAME.png: the image, its labels, and the depth and
the density (of Depth Distribution) if the network predicts them, side by side.
Images of the same name keep their suffix: NAME.jpg.png.

Folders are read with their subfolders and links, without hidden files, and
pictures are rotated according to their EXIF data. Pictures that cannot be read
(HEIC, truncated files, more than 179 megapixels) are skipped and named, and the
exit status is then 1, as it is for a video that ends too early. Files whose
suffix is not that of a picture are noted. If a file holds several pictures
(GIF, TIFF), the first one is labelled.
"""

from absl import flags

from jaxuda import errors
from jaxuda.evaluate import views as views_lib
from jaxuda.predict import prediction
from jaxuda.ui import command
from jaxuda.ui import image_files
from jaxuda.ui import video
from jaxuda.weights import runs


def main() -> int:
  """Runs the command line."""
  given = flags.FLAGS
  source, out = given.images, given.out
  options = {
    'views': views_lib.Views(
      scales=given.scales, flip=given.flip, window=given.window
    ),
    'batch_size': given.batch_size,
  }
  prediction.check_paths(source, out)  # Before the network is loaded.
  if video.is_video(out):
    for kind in ('confidence', 'panels'):
      if given[kind].value:
        raise errors.UserError(
          f'--{kind} writes pictures; expected a folder, not --out={out}'
        )
    count, bad = prediction.run_video(_load(given), source, out, **options)
    print(f'wrote {out}, {count} frames')
    if bad:
      raise errors.UserError(f'not all frames were read: {"; ".join(bad)}')
    return 0
  total = len(image_files.list_images(source))
  more = [x for x in ('confidence', 'panels') if given[x].value]
  options |= {'confidence': given.confidence, 'drawn': given.panels}
  bad = prediction.run_folder(_load(given), source, out, **options)
  kinds = ('ids', 'colors', *more)
  folders = ', '.join(f'{out}/{x}' for x in kinds)
  print(f'wrote {total - len(bad)} of {total} label maps to {folders}')
  image_files.check_read(bad, total=total, unit='pictures')
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
  command.define_config('Config for --weights: METHOD:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published checkpoint, or a conversion.')
  command.define_network()
  flags.DEFINE_string(
    'images', None, 'Folder of images, or a video.', required=True
  )
  flags.DEFINE_string(
    'out', None, 'Folder or video to write to.', required=True
  )
  command.define_views()
  flags.DEFINE_integer(
    'batch_size', 1, 'Images per device and batch, if each has one view.', 1
  )
  flags.DEFINE_enum(
    'dtype',
    None,
    ['float32', 'bfloat16'],
    "Data type in which the network computes; the training's if unset.",
  )
  flags.DEFINE_bool(
    'confidence',
    False,
    'Also write OUT/confidence: 255 times the largest probability, in 8 bits.',
  )
  flags.DEFINE_bool(
    *('panels', False),
    'Also write OUT/panels: image, labels, depth and density side by side.',
  )
  command.define_checkpoint()


if __name__ == '__main__':
  _define_flags()
  command.run(main)
