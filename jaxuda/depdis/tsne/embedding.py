"""Draws feature spaces of networks in the plane by t-SNE.

As in figure 4 of Depth Distribution, the same pixels of the target's evaluation
images, equally many of each class, become points in the plane (van der Maaten
and Hinton, 2008) in the colour of their true class. The figure compares two
joint spaces: segmentation and depth, and segmentation and density. Here, these
are the inputs that a discriminator would get, see `ops.entropy`.
"""

from collections.abc import Sequence
import functools
import itertools
import os
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from sklearn import decomposition
from sklearn import manifold
from sklearn import metrics

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.pixels import resizing
from jaxuda.models import deeplab
from jaxuda.ops import entropy
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

SPACES = ('features', 'output', 'seg_depth', 'seg_density')
# Width and height of a panel, pixels.
_SIDE = 480
# Number of dimensions after PCA, before t-SNE, as used by its authors.
_COMPONENTS = 50


def collect(
  run: workdir_lib.Run,
  *,
  space: str,
  images: int,
  pixels: int,
  split: str | None = None,
  seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
  """Collects the features of pixels of the target, the same for every run.

  Args:
    run: the run returned by `workdir.load`.
    space: 'features', the K channels of the backbone; 'output', the C
      probabilities; or 'seg_depth' or 'seg_density', the C maps of
      self-information times inverse depth or density, as aligned by the
      adversarial stage.
    images: number of images of the evaluation split, starting with the first.
    pixels: maximum number of pixels of each class, spread over the images.
    split: the split; None for the config's `eval_split`.
    seed: seed of the choice of pixels.

  Returns:
    (float32 [N, K or C], int [N] true classes).

  Raises:
    UserError: the network has no such output.
  """
  rng = np.random.default_rng(seed)
  count = len(labels.get_class_set(run.config.classes).names)
  stream = pipeline.eval_stream(
    run.config.data, classes=run.config.classes, batch_size=1, split=split
  )
  total = min(images, pipeline.eval_size(run.config.data, split=split))
  vectors, classes = [], []
  left = np.full(count, pixels)
  batches = itertools.islice(stream, total)
  shown = display.track(batches, name='features', total=total)
  for number, batch in enumerate(shown):
    maps = np.asarray(
      _features(run.state, batch['image'], task=run.method.task, space=space)[0]
    )
    label = resizing.resize_label(batch['label'][0], maps.shape[:2])
    # Distributes the missing pixels evenly over the remaining images.
    quota = -(-left // (total - number))
    for c in range(count):
      places = np.flatnonzero(label == c)
      taken = rng.permutation(places)[: quota[c]]
      vectors.append(maps.reshape(-1, maps.shape[-1])[taken])
      classes.append(np.full(len(taken), c))
      left[c] -= len(taken)
  return np.concatenate(vectors), np.concatenate(classes)


@functools.partial(jax.jit, static_argnames=('task', 'space'))
def _features(state, image, *, task, space):
  net = state.nets['task']
  out, _ = deeplab.run(
    *(task, net.params, net.batch_stats, image), train=False, features=True
  )
  logits = out['logits'].astype(jnp.float32)
  if space == 'output':
    return jax.nn.softmax(logits, -1)
  if space == 'features':
    return out['features'].astype(jnp.float32)
  part = space.removeprefix('seg_')
  if part not in out:
    raise errors.UserError(
      f'the network predicts no {part}, which --space={space} needs'
    )
  return entropy.self_information(logits) * out[part][..., None]


def embed(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
  """Projects vectors [N, K] to points [N, 2] in the plane by PCA and t-SNE.

  Raises:
    UserError: there are fewer than 10 vectors.
  """
  if len(vectors) < 10:
    raise errors.UserError(
      f'only {len(vectors)} labelled pixels; expected at least 10: more'
      ' --images or --pixels'
    )
  wide = min(_COMPONENTS, *vectors.shape)
  reduced = decomposition.PCA(wide, random_state=seed).fit_transform(vectors)
  return manifold.TSNE(
    init='pca', perplexity=min(30, len(vectors) / 4), random_state=seed
  ).fit_transform(reduced)


def separation(vectors: np.ndarray, classes: np.ndarray) -> float:
  """Returns the mean silhouette of classes (Rousseeuw, 1987).

  It measures how well the classes are separated.

  Args:
    vectors: [N, K], features.
    classes: int [N], their classes.

  Returns:
    A number in -1..1, the higher the better; NaN with fewer than two classes.
  """
  if not 1 < len(np.unique(classes)) < len(classes):
    return float('nan')
  return float(metrics.silhouette_score(vectors, classes))


def draw(
  points: np.ndarray, classes: np.ndarray, colors: np.ndarray
) -> np.ndarray:
  """Draws points in the colours of their classes.

  Args:
    points: [N, 2], in any unit.
    classes: int [N], 0..C-1.
    colors: uint8 [C, 3] RGB.

  Returns:
    uint8 [480, 480, 3] RGB.
  """
  low, span = points.min(0), np.ptp(points, axis=0).max() or 1.0
  places = 8 + (points - low) / span * (_SIDE - 16)
  canvas = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
  # In a fixed random order, so that no class lies on top of the others.
  for i in np.random.default_rng(0).permutation(len(points)):
    center, color = np.rint(places[i]).astype(int), colors[classes[i]].tolist()
    cv2.circle(canvas, center.tolist(), 3, color, -1, cv2.LINE_AA)
  return canvas


def run(
  workdirs: Sequence[str],
  out: str | os.PathLike,
  *,
  which: str,
  spaces: Sequence[str],
  **options: Any,
) -> None:
  """Writes a picture with a panel for every run and space.

  It also prints the silhouettes.

  Args:
    workdirs: folders of the runs, of any methods but with the same target and
      classes.
    out: the PNG to write.
    which: 'last', 'best' or a step.
    spaces: spaces of `collect`, which all runs must have.
    **options: other arguments of `collect`.

  Raises:
    UserError: a run or space does not exist, the classes or targets differ, or
      the picture cannot be written.
  """
  unknown = [x for x in spaces if x not in SPACES]
  if unknown or not spaces:
    raise errors.UserError(
      f'--space={",".join(spaces)}; expected some of {", ".join(SPACES)}'
    )
  if not workdirs:
    raise errors.UserError('--workdirs is empty; expected folders of runs')
  files.check_file(out)  # Before the work that would be lost.
  runs = {
    name: workdir_lib.load(name, which=which, only=workdir_lib.predicts)
    for name in workdirs
  }
  sets = {labels.identify(r.config.classes): r for r in runs.values()}
  if len(sets) > 1:
    raise errors.UserError(
      f'the runs have the classes {", ".join(sorted(sets))}; expected one set'
    )
  targets = {r.config.data.target.dataset for r in runs.values()}
  if len(targets) > 1:
    raise errors.UserError(
      f'the runs have the targets {", ".join(sorted(targets))}; expected one'
    )
  class_set = labels.get_class_set(next(iter(runs.values())).config.classes)
  columns = {}
  for (name, loaded), space in itertools.product(runs.items(), spaces):
    title = name if len(spaces) == 1 else f'{name} {space}'
    vectors, classes = collect(loaded, space=space, **options)
    score = separation(vectors, classes)
    print(f'{title}: {len(vectors)} pixels, silhouette {score:.3f}')
    flat = embed(vectors, seed=options['seed'])
    columns[title] = [draw(flat, classes, class_set.colors)]
  panel = [panels.lay_out(columns)]
  panel = panels.stack_with_legend(panel, class_set.names, class_set.colors)
  panels.write_png(out, panel)
  print(f'wrote {out}')
