"""Draws data and the predictions of runs side by side."""

from collections.abc import Mapping, Sequence
import itertools
import os
import pathlib
from typing import Any

import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.predict import prediction
from jaxuda.predict import scenes
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels as panels_lib


def read_samples(
  config: ml_collections.ConfigDict,
  *,
  count: int = 3,
  numbers: Sequence[int] | None = None,
) -> dict[str, Any]:
  """Returns images of the evaluation split, with their ground truth.

  Args:
    config: a run's config.
    count: number of images B, taken from the start of the split.
    numbers: instead of these, indices into the split, from 0, in any order.

  Returns:
    'image' uint8 [B, H, W, 3] RGB at the network's size. If the split has
    labels, also lists of B maps at their own sizes: 'label' int32 [H0, W0] and,
    where depth is known, 'depth' float32 [H0, W0] in metres and 'depth_valid'
    bool [H0, W0].

  Raises:
    UserError: a number is beyond the end of the split.
  """
  # One by one, since labels and depths may differ in size.
  stream = pipeline.eval_stream(
    config.data,
    classes=config.classes,
    batch_size=1,
    with_depth=True,
    optional=('label',),
  )
  wanted = range(count) if numbers is None else numbers
  seen = enumerate(itertools.islice(stream, max(wanted) + 1))
  found = {number: row for number, row in seen if number in wanted}
  for number in numbers or ():
    if number not in found:
      target = config.data.target
      raise errors.UserError(
        f'no image {number} in {target.dataset} {target.eval_split}; expected'
        ' numbers from 0, below the number of its images'
      )
  rows = [found[x] for x in wanted if x in found]
  fields = [name for name in rows[0] if name != 'name']
  samples = {name: [row[name][0] for row in rows] for name in fields}
  return {**samples, 'image': np.stack(samples['image'])}


def draw_domains(
  config: ml_collections.ConfigDict, *, count: int = 3
) -> np.ndarray:
  """Draws a training batch: the maps of each domain, and a legend.

  Args:
    config: a run's config.
    count: number of images of each domain.

  Returns:
    uint8 [height, width, 3] RGB: the source's images and, if the method reads
    them, labels and depth, then the same for the target, then the legend of the
    classes.
  """
  config = own_classes.count(config)
  stream = pipeline.train_stream(
    config.data,
    classes=config.classes,
    needs=methods.create(config).needs,
    batch_size=count,
    seed=config.seed,
  )
  class_set = labels.get_class_set(config.classes)
  colors, panels = class_set.colors, []
  for domain, arrays in next(stream).items():
    shown = {
      kind: {f'{domain} {kind}': arrays[kind]}
      for kind in ('image', 'label', 'depth')
      if kind in arrays
    }
    panels.append(panels_lib.make_training_panel(shown, colors=colors))
  return panels_lib.stack_with_legend(panels, class_set.names, colors)


def draw_predictions(
  runs: Mapping[str, workdir_lib.Run],
  *,
  depth: bool = False,
  legend: bool = True,
  **which: Any,
) -> np.ndarray:
  """Draws the predictions of several runs for the same images.

  Args:
    runs: name -> what `workdir.load` returned; at least one.
    depth: whether to show depth, too, as predicted by the last run that
      predicts any.
    legend: whether the legend of the classes is drawn below.
    **which: images of the first run's evaluation split, see `read_samples`.

  Returns:
    uint8 [height, width, 3] RGB: a row per image with the image, the ground
    truth if it is known, every run's prediction and the depth, and the legend
    below.

  Raises:
    UserError: the runs have different classes, or an image does not exist.
  """
  first, *_ = runs.values()
  class_set = labels.get_class_set(first.config.classes)
  for name, run in runs.items():
    names = labels.get_class_set(run.config.classes).names
    if names != class_set.names:
      raise errors.UserError(
        f'{name} has the classes {run.config.classes}; expected those of the'
        f' first run, {first.config.classes}'
      )
  samples = read_samples(first.config, **which)
  images, colors = samples['image'], class_set.colors
  predicted = {
    name: [prediction.predict_labels(image, run) for image in images]
    for name, run in runs.items()
  }
  panel = panels_lib.make_comparison(
    *(images, samples.get('label'), predicted),
    colors=colors,
    depths=_see_depths(runs, images) if depth else None,
  )
  if not legend:
    return panel
  return panels_lib.stack_with_legend([panel], class_set.names, colors)


def _see_depths(runs, images):
  """Returns the heading and depths of the last run that predicts depth."""
  for name, run in reversed(runs.items()):
    seen = [
      scenes.look(
        image,
        run,
        size=image.shape[:2],
        around=prediction.shape_around(image, target=run.config.data.target),
      )
      for image in images
    ]
    if 'depth' in seen[0]:
      return {f'depth ({name})': [x['depth'] for x in seen]}
  return {}


def read_picture(workdir: str | os.PathLike, name: str) -> np.ndarray:
  """Reads a run's newest picture of a kind, uint8 [H, W, 3] RGB.

  Args:
    workdir: the run's folder.
    name: 'target' for predictions, 'training' for the method's own
      pictures of a training batch.

  Raises:
    UserError: the run has no such picture.
  """
  folder = pathlib.Path(workdir) / 'pictures'
  found = sorted(folder.glob(f'{name}_*.png'))
  if not found:
    raise errors.UserError(
      f'no picture {folder}/{name}_*.png; expected the workdir of an evaluated'
      ' run whose method draws it'
    )
  return panels_lib.read_image(found[-1])
