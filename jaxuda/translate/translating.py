r"""The source's training images as a run's image transform network sees them.

    python -m jaxuda.translate --workdir=DIR --out=FOLDER \
        [--checkpoint=last|best|STEP]

Writes FOLDER in the layout of one's own pictures (docs/data.md), at the size
that the run was trained at: images/train/NAME.png, labels/train/NAME.png,
depth/train/NAME.png (where the source has depth) and classes.json. Any method
trains on it with

    --config.data.source.dataset=folder --config.data.source.manual_dir=FOLDER

Runs of configs/gio_ada.py (rows with a transform network) and of
configs/cyclegan.py have one. Killed, the same command goes on.
"""

from collections.abc import Iterator
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

from absl import flags
import jax
import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.depth import formats
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import panels

_DESCRIPTION = 'translation.json'
# The labels of most sources tell these classes apart, whatever a run's are.
_FINEST = 'cityscapes19'
_CENTIMETRES = {'code': 'metres', 'unit': 0.01, 'missing': [0]}


def encode_depth(metres: np.ndarray, valid: np.ndarray) -> np.ndarray:
  """Returns centimetres, uint16: 1 to 65535, and 0 where there is no depth.

  Args:
    metres: [H, W].
    valid: bool [H, W].
  """
  raw = np.clip(np.round(100 * np.float64(metres)), 1, 65535)
  return np.where(valid, raw, 0).astype(np.uint16)


def write_set(run: workdir_lib.Run, out: str | os.PathLike[str]) -> int:
  """Writes the transformed source of a run.

  Args:
    run: with the method's transform network.
    out: a new folder, or one that was begun by the same run.

  Returns:
    How many examples there are.

  Raises:
    UserError: the run has no transform network, or `out` holds something else.
  """
  if run.method.translate is None or 'gen' not in run.state.nets:
    raise errors.UserError(
      f'the run of {run.config.name} has no image transform network; expected'
      ' one of configs/cyclegan.py, or of configs/gio_ada.py in a row with one'
    )
  out = pathlib.Path(out)
  classes, count, examples = _read_source(run.config)
  _claim(out, _describe(run), classes)
  table = labels.merge_map(classes, run.config.classes)
  with display.Progress('translate', total=count, unit='images') as progress:
    for done, example in enumerate(examples, 1):
      name = example.pop('name').decode()
      path = out / 'images' / 'train' / f'{name}.png'
      if not path.is_file():
        _write(out, name, example)
        # The image comes last: where it is, the others are.
        panels.write_png(path, _translate(run, example, table))
      progress.update(done)
  return count


def _read_source(config: Any) -> tuple[str, int, Iterator[Any]]:
  """Returns (the labels' class set, number of examples, examples)."""
  from jaxuda.data import pipeline

  own = config.classes
  for classes in (_FINEST, own):
    try:
      labels.merge_map(classes, own)
      examples, count = pipeline.image_stream(
        config.data,
        domain='source',
        fields=('image', 'label', 'depth'),
        optional=('depth',),
        classes=classes,
      )
    except errors.UserError:
      if classes == own:
        raise
    else:
      return classes, count, examples
  raise AssertionError('a class set merges to itself')


def _describe(run):
  """What the transform network is: its config and its step."""
  text = json.dumps(workdir_lib.config_to_dict(run.config), sort_keys=True)
  return {
    'made_by': 'jaxuda.translate',
    'method': run.config.name,
    'source': run.config.data.source.dataset,
    'config': hashlib.sha256(text.encode()).hexdigest()[:16],
    'checkpoint_step': run.step,
  }


def _claim(out, description, classes):
  """Begins the folder, or checks that it was begun by the same run."""
  if out.exists() and not out.is_dir():
    raise errors.UserError(f'{out} is a file; expected a folder to write to')
  file = out / _DESCRIPTION
  if file.is_file() and json.loads(file.read_text()) == description:
    return
  if out.is_dir() and any(out.iterdir()):
    raise errors.UserError(
      f'{out} holds something else; expected a new folder, or one that the same'
      ' checkpoint of the same run began'
    )
  names = labels.get_class_set(classes).names
  table = {
    'classes': {name: [i] for i, name in enumerate(names)},
    'ignore': [labels.IGNORE],
    'depth': _CENTIMETRES,
  }
  workdir_lib.write_json(out / 'classes.json', table)
  workdir_lib.write_json(file, description)


def _write(out, name, example):
  """Writes label and depth."""
  label = np.asarray(example['label']).astype(np.uint8)
  panels.write_png(out / 'labels' / 'train' / f'{name}.png', label)
  if 'depth' in example:
    formats.write_png16(
      out / 'depth' / 'train' / f'{name}.png',
      encode_depth(example['depth'], example['depth_valid']),
    )


def _translate(run, example, table):
  """Returns uint8 [H, W, 3] of one example, whose label is mapped first."""
  label = table[np.asarray(example['label'])].astype(np.int32)
  source = {k: v[None] for k, v in {**example, 'label': label}.items()}
  image = np.asarray(_run(run.state, source, method=run.method))[0]
  return np.clip(np.round(image), 0, 255).astype(np.uint8)


@functools.partial(jax.jit, static_argnames='method')
def _run(state, source, *, method):
  return method.translate(state, source)


def main() -> None:
  """Runs the command line."""
  command.hide_accelerators()
  run = workdir_lib.load(
    flags.FLAGS.workdir,
    which=flags.FLAGS.checkpoint,
    only=lambda path: path.startswith(('step', 'nets/gen/params')),
  )
  for field in ('data_dir', 'manual_dir'):
    value = getattr(flags.FLAGS, field)
    if value:
      data = run.config.data
      (data if field == 'data_dir' else data.source)[field] = value
  count = write_set(run, flags.FLAGS.out)
  print(f'wrote {count} examples to {flags.FLAGS.out}')


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  flags.DEFINE_string('workdir', None, 'Folder of the run.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write to.', required=True)
  flags.DEFINE_string(
    'checkpoint', 'last', 'last, best (by the main mIoU) or a step.'
  )
  flags.DEFINE_string('data_dir', None, 'Where TFDS keeps its data.')
  flags.DEFINE_string(
    'manual_dir', None, 'Where the source dataset was downloaded to.'
  )
