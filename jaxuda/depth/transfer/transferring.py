r"""Depth of a target with single images only: learned on the source.

    python -m jaxuda.depth.transfer \
        --config=configs/source_only.py:pair=streets2camvid \
        --config.data.target.manual_dir=CAMVID_DIR --workdir=DIR --out=FOLDER

Trains a network with a depth output on the source's own depth (source-only with
the depth loss of DADA), and writes what it says of the target's training
images: the last resort where there is neither a stereo pair nor a video. The
same command again goes on, and does nothing when all is there. Train with

    --config.data.target.depth_dir=FOLDER
"""

from collections.abc import Mapping
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

from absl import flags
import jax
import ml_collections
from ml_collections import config_flags
import numpy as np
from PIL import Image

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.pixels import aspect
from jaxuda.depth import formats
from jaxuda.evaluate import views
from jaxuda.ops import depth as depth_ops
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import display


def set_depth_loss(config: ml_collections.ConfigDict) -> None:
  """Switches the depth loss of a source-only config on, if it is off.

  At the weight of DADA: 1e-3 as published, 1e-2 for the small network.

  Raises:
    UserError: it is the config of another method.
  """
  if config.name != 'source_only':
    raise errors.UserError(
      f'config.name={config.name!r}; expected source_only, as in'
      ' configs/source_only.py'
    )
  if not config.method.lambda_depth:
    small = config.network.backbone == 'resnet_small'
    config.method.lambda_depth = 1e-2 if small else 1e-3


def write_depths(
  method: Any,
  state: Any,
  images: Any,
  out: str | os.PathLike[str],
  *,
  size: tuple[int, int],
  image_resize: str = 'bicubic',
  fit: str = 'stretch',
  description: Mapping[str, Any] | None = None,
) -> int:
  """Writes the depth that a network sees in images.

  Args:
    method: its `predict` gives 'depth'.
    state: a training state.
    images: `len` of them, and `read(i)` -> (name, uint8 [H, W, 3]).
    out: folder to write to. Files of a network with the same description stay;
      all others are written anew.
    size: (height, width) of the network's input.
    image_resize: how images are brought to it.
    fit: 'stretch' or 'pad', the same.
    description: kept in depth.json: what the network is.

  Returns:
    How many files were written.

  Raises:
    UserError: a file at `out`.
  """
  out = pathlib.Path(out)
  if out.exists() and not out.is_dir():
    raise errors.UserError(f'{out} is a file; expected a folder to write to')
  wanted = workdir_lib.jsonable({**formats.METRES, **(description or {})})
  file = out / formats.FILE
  keep = file.is_file() and json.loads(file.read_text()) == wanted
  if not keep:
    # Not before all old files are gone could they be taken for these.
    for old in out.rglob('*.png'):
      old.unlink()
    formats.write_description(out, wanted)
  written = 0
  with display.Progress('depth', total=len(images), unit='images') as progress:
    for number in range(len(images)):
      name, image = images.read(number)
      path = out / f'{name}.png'
      if not path.is_file():
        metres = predict_depth(
          method,
          state,
          image,
          size=size,
          image_resize=image_resize,
          fit=fit,
        )
        formats.write_png16(path, encode_metres(metres))
        written += 1
      progress.update(number + 1)
  return written


def encode_metres(metres: np.ndarray) -> np.ndarray:
  """Returns centimetres: uint16, at least 1; from 655.35 m on 65535: none."""
  return np.clip(np.round(100 * np.float64(metres)), 1, 65535).astype(np.uint16)


def predict_depth(
  method: Any,
  state: Any,
  image: np.ndarray,
  *,
  size: tuple[int, int],
  image_resize: str = 'bicubic',
  fit: str = 'stretch',
) -> np.ndarray:
  """Returns float32 [H, W] metres of one image of any size.

  The network runs at its own size; its inverse depth is resized.

  Args:
    method: its `predict` gives 'depth'.
    state: a training state.
    image: uint8 [H, W, 3] RGB.
    size: (height, width) of the network's input.
    image_resize: 'bicubic' or 'bilinear'.
    fit: 'stretch' or 'pad', see `data.aspect`.
  """
  small = views.framed(image, size, image_resize, fit)
  inverse = _invert(state, small[None], method=method)[0]
  if fit == 'pad':
    height, width = aspect.fit_size(image.shape[:2], size)
    inverse = inverse[:height, :width]
  full = Image.fromarray(np.asarray(inverse, np.float32)).resize(
    image.shape[1::-1], Image.Resampling.BILINEAR
  )
  return np.asarray(depth_ops.restore_depth(np.asarray(full)))


@functools.partial(jax.jit, static_argnames='method')
def _invert(state, image, *, method):
  return depth_ops.invert_depth(method.predict(state, image)['depth'])


def _describe(config, step):
  """What the network is: a hash of its config, and its step."""
  tree = workdir_lib.config_to_dict(config)
  for side in ('source', 'target'):
    # Where things are says nothing of what they are.
    tree['data'][side].pop('manual_dir', None)
  tree['data'].pop('data_dir')
  text = json.dumps(tree, sort_keys=True)
  return {
    'made_by': 'jaxuda.depth.transfer',
    'source': config.data.source.dataset,
    'target': config.data.target.dataset,
    'config': hashlib.sha256(text.encode()).hexdigest()[:16],
    'checkpoint_step': step,
  }


def main() -> None:
  """Runs the command line."""
  # TensorFlow takes seconds to load: a misspelt flag is reported before.
  config = flags.FLAGS.config
  set_depth_loss(config)
  from jaxuda.data.records import rows
  from jaxuda.run import own_classes
  from jaxuda.train import segmentation

  command.hide_accelerators()
  target = config.data.target
  images = rows.Images(
    target.dataset,
    split=target.split,
    data_dir=config.data.data_dir,
    manual_dir=target.manual_dir,
  )
  state = segmentation.train(config, flags.FLAGS.workdir)
  step = int(state.step)
  if step < config.stop_step:
    return
  written = write_depths(
    methods.create(own_classes.count(config)),
    state,
    images,
    flags.FLAGS.out,
    size=tuple(target.size),
    image_resize=target.image_resize,
    fit=target.fit,
    description=_describe(config, step),
  )
  print(f'wrote {written} of {len(images)} maps to {flags.FLAGS.out}')


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  config_flags.DEFINE_config_file(
    'config', None, 'configs/source_only.py:argument=value', lock_config=True
  )
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('out', None, 'Folder to write to.')
  flags.mark_flags_as_required(['config', 'workdir', 'out'])
