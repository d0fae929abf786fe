"""Writes a trained network and the scripts that run it."""

from collections.abc import Mapping, Sequence
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.ui import files

FORMATS = ('stablehlo', 'savedmodel')
PLATFORMS = ('cpu', 'cuda', 'tpu')
_DESCRIPTION = 'export.json'
_RUNNERS = pathlib.Path(__file__).parent / 'runners'


def _serving_function(run):
  """Returns a function of weights and images, and the weights by path.

  The function takes the arrays as a list and images uint8 [B, H, W, 3]; it
  returns 'logits' float32 [B, H, W, C], 'label' uint8 [B, H, W], 'grid' float32
  [B, h, w, C] (the logits before upsampling) and, if the network predicts
  depth, 'depth' float32 [B, H, W] in metres.
  """
  method, state = run.method, run.state
  net = state.find(method.evaluate)
  variables = {'params': net.params, 'batch_stats': net.batch_stats}
  structure = jax.tree.structure(variables)

  def serve(weights, image):
    tree = jax.tree.unflatten(structure, weights)
    net = state_lib.create_net(tree, None)
    served = state_lib.create({'task': net}, teacher=net)
    out = method.predict(served, image)
    # XLA computes the common part of both only once.
    out['grid'] = method.predict(served, image, size='grid')['logits']
    label = jnp.argmax(out['logits'], axis=-1).astype(jnp.uint8)
    kept = {k: out[k] for k in ('logits', 'grid', 'depth') if k in out}
    return {**kept, 'label': label}

  arrays = checkpoint.flatten(jax.device_get(variables))
  return serve, {path: np.asarray(x) for path, x in arrays.items()}


def export(
  run: workdir_lib.Run,
  folder: str | os.PathLike,
  *,
  formats: Sequence[str] = FORMATS,
  size: Sequence[int] | None = None,
  source: Mapping[str, str] | None = None,
) -> None:
  """Writes a network and the scripts that run it.

  Args:
    run: a method and its state.
    folder: the folder to write to.
    formats: one or more of `FORMATS`.
    size: (height, width) of the images in pixels; if None, the config's size
      of the target.
    source: 'checkpoint', the path of the file or folder that the network is
      from, and 'command', the line that exports it again, for export.json.

  Raises:
    UserError: a format is unknown, the folder's name is that of a file, or a
      file cannot be written; nothing of the export is left behind.
  """
  unknown = set(formats) - set(FORMATS)
  if unknown or not formats:
    raise errors.UserError(
      f'formats={",".join(formats)}; expected some of {", ".join(FORMATS)}'
    )
  folder = files.check_folder(folder)
  _remove_earlier(folder)
  with contextlib.ExitStack() as undo:

    @contextlib.contextmanager
    def writing(name):
      path = folder / name
      if (path / 'saved_model.pb').is_file():
        _remove(path)  # Unlike a file, a folder would not be replaced.
      with files.atomic(path) as part:
        yield part
      undo.callback(_remove, path)

    _write(run, writing, formats, size=size, source=source)
    undo.pop_all()


def _write(run, writing, formats, *, size, source):
  """Writes all files; `writing(name)` gives the path to write to."""
  target, version = run.config.data.target, None
  size = tuple(size or target.size)
  serve, weights = _serving_function(run)
  if 'stablehlo' in formats:
    with writing('weights.npz') as path:
      np.savez(path, **weights)
    exported = _to_stablehlo(serve, weights, size)
    version = exported.calling_convention_version
    with writing('network.stablehlo') as path:
      path.write_bytes(bytes(exported.serialize()))
  if 'savedmodel' in formats:
    with writing('savedmodel') as path:
      _write_savedmodel(serve, weights, size, path)
  for name in ('picture.py', *(f'run_{name}.py' for name in formats)):
    with writing(name) as path:
      shutil.copy(_RUNNERS / name, path)
  class_set = labels.get_class_set(run.config.classes)
  info = {
    'method': run.config.name,
    'step': run.step,
    'checkpoint': '',
    'command': '',
    **(source or {}),
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'jax': jax.__version__,
    # The program's own version, and those that this jax reads and writes.
    'calling_convention': version,
    'calling_conventions': [
      jax.export.minimum_supported_calling_convention_version,
      jax.export.maximum_supported_calling_convention_version,
    ],
    'size': list(size),
    'fit': target.get('fit', 'stretch'),
    'image_resize': target.get('image_resize', 'bicubic'),
    'align_corners': run.method.network.align_corners,
    'classes': list(class_set.names),
    'colors': np.asarray(class_set.colors).tolist(),
  }
  with writing(_DESCRIPTION) as path:
    path.write_text(json.dumps(info, indent=2) + '\n')


def _remove_earlier(folder: pathlib.Path) -> None:
  """Removes an earlier export, parts of which could be taken for this one."""
  # Its scripts do not run without the description, which is removed first.
  if (folder / _DESCRIPTION).is_file():
    for name in (_DESCRIPTION, 'weights.npz', 'network.stablehlo'):
      _remove(folder / name)
    for name in ('savedmodel', *(f'run_{name}.py' for name in FORMATS)):
      _remove(folder / name)


def _remove(path):
  shutil.rmtree(path, ignore_errors=True)
  with contextlib.suppress(OSError):
    path.unlink()


def _to_stablehlo(serve, weights, size):
  """Returns the program for any number of images of one size."""
  shape = jax.export.symbolic_shape(f'b, {size[0]}, {size[1]}, 3')
  shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in weights.values()]
  return jax.export.export(jax.jit(serve), platforms=PLATFORMS)(
    shapes, jax.ShapeDtypeStruct(shape, np.uint8)
  )


def _write_savedmodel(serve, weights, size, folder):
  """Writes the same program for TensorFlow."""
  from jax.experimental import jax2tf
  import tensorflow as tf

  call = jax2tf.convert(
    serve,
    with_gradient=False,
    native_serialization_platforms=PLATFORMS,
  )
  like = jax.eval_shape(
    serve, list(weights.values()), jax.ShapeDtypeStruct((1, *size, 3), np.uint8)
  )
  types = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in like.items()}
  model = tf.Module()
  model.arrays = [tf.Variable(x, trainable=False) for x in weights.values()]

  @tf.function(
    autograph=False,
    input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8, name='image')],
  )
  def serving(image):
    # One by one: the check of a symbolic number of images is written in a
    # version of StableHLO (jax 0.12) that TensorFlow 2.21 does not read.
    outputs = tf.map_fn(
      lambda one: call(list(model.arrays), one[None]),
      image,
      fn_output_signature=types,
    )
    return {name: x[:, 0] for name, x in outputs.items()}

  model.serving = serving
  try:
    tf.saved_model.save(
      model, str(folder), signatures={'serving_default': serving}
    )
  except tf.errors.OpError as e:  # TensorFlow's counterpart of an OSError.
    raise OSError(e.message) from e


def read_size(text: str | None) -> tuple[int, int] | None:
  """Parses '512x1024' into (height, width).

  Raises:
    UserError: the text has another form.
  """
  if text is None:
    return None
  match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
  if not match:
    raise errors.UserError(f'size={text!r}; expected HEIGHTxWIDTH')
  return int(match[1]), int(match[2])
