"""Writes streets as plain picture files, laid out like a user's own pictures.

They serve as an example in "Your own data" in docs/data.md. Needs no
TensorFlow.
"""

import os
import pathlib

from jaxuda import errors
from jaxuda import streets

_SPLITS = ('train', 'val', 'test')
# Distance between the first scene indices of two splits.
_APART = 1_000_000


def write_split(
  folder: str | os.PathLike[str],
  domain: str,
  *,
  split: str,
  count: int,
  size: tuple[int, int],
  fields: tuple[str, ...] = ('image', 'label'),
  seed: int = 0,
) -> list[pathlib.Path]:
  """Renders scenes and writes FOLDER/images/SPLIT/NAME.png and so on.

  Labels are Cityscapes train ids, 0..18, and 255 for none; depth is in
  centimetres, 16 bits, with 65535 for the sky.

  Args:
    folder: folder in which images/, labels/ and depth/ are created.
    domain: such as 'source', 'target' or 'wide'.
    split: 'train', 'val' or 'test'; each has scenes of its own.
    count: number of scenes.
    size: (height, width) in pixels.
    fields: fields to write, out of 'image', 'label' and 'depth'.
    seed: seed of the scenes.

  Returns:
    The paths of the images.

  Raises:
    UserError: the split or domain is unknown.
  """
  if split not in _SPLITS:
    raise errors.UserError(
      f'split is {split!r}; expected one of {", ".join(_SPLITS)}'
    )
  streets.check_view(domain, 'left')
  start = _APART * _SPLITS.index(split)
  scenes = streets.render_scenes(
    domain,
    range(start, start + count),
    seed=seed,
    height=size[0],
    width=size[1],
    workers=min(os.cpu_count() or 1, count),
  )
  images = []
  for scene in scenes:
    name = f'{domain}_{scene["index"]:07d}.png'
    for field in fields:
      kind = field if field == 'depth' else f'{field}s'
      path = pathlib.Path(folder, kind, split, name)
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(scene[field])
      if field == 'image':
        images.append(path)
  return images
