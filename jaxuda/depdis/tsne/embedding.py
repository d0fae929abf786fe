r"""Draws how well networks keep the target's classes apart, by t-SNE.

    python -m jaxuda.depdis.tsne --workdirs=RUN,RUN --out=FILE.png \
        [--checkpoint=last|best|STEP] [--space=features|output] \
        [--images=30] [--pixels=100] [--split=val] [--seed=0]

A panel for each run, as in figure 4 of Depth Distribution: the same pixels of
the target's evaluation images, as many of each class, as points in the plane
(van der Maaten and Hinton, 2008), coloured by their true class. Runs may be of
different methods, but of the same target and classes. `features` are what the
backbone puts out, `output` the probabilities. The silhouette (Rousseeuw, 1987)
of the classes in that space, before it is flattened, is printed beside.
"""

from collections.abc import Sequence
import functools
import itertools
import pathlib
from typing import Any

from absl import flags
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
from jaxuda.depdis.fit import sampling
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import panels

SPACES = ('features', 'output')
_SIDE = 480
# Before t-SNE, as its authors do.
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
  """Reads the same pixels of the target for every run.

  Args:
    run: what `workdir.load` returned.
    space: 'features', K channels of the backbone, or 'output', C
      probabilities.
    images: how many of the evaluation split, from the first.
    pixels: of each class, at most; spread over the images.
    split: `eval_split` if None.
    seed: of the choice of pixels.

  Returns:
    (float32 [N, K or C], int [N] true classes).
  """
  rng = np.random.default_rng(seed)
  count = len(labels.get_class_set(run.config.classes).names)
  stream = pipeline.eval_stream(
    run.config.data, classes=run.config.classes, batch_size=1, split=split
  )
  total = pipeline.eval_size(run.config.data, split=split)
  total = min(images, total)
  vectors, classes = [], []
  left = np.full(count, pixels)
  shown = display.track(
    itertools.islice(stream, total), name='features', total=total
  )
  for number, batch in enumerate(shown):
    maps = np.asarray(
      _features(run.state, batch['image'], task=run.method.task, space=space)[0]
    )
    label = sampling.shrink(batch['label'][0], maps.shape[:2])
    # What is left, evenly over the images that are left.
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
  out, more = task.apply(
    {'params': net.params, 'batch_stats': net.batch_stats},
    image,
    train=False,
    capture_intermediates=lambda module, _: module.name == 'backbone',
  )
  if space == 'output':
    return jax.nn.softmax(out['logits'].astype(jnp.float32), -1)
  stages = more['intermediates']['backbone']['__call__'][0]
  return stages[-1].astype(jnp.float32)


def embed(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
  """Flattens [N, K] to the plane [N, 2] by PCA and t-SNE.

  Raises:
    UserError: fewer than 10 points.
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
  """Returns the mean silhouette in -1..1; NaN with fewer than two classes."""
  if not 1 < len(np.unique(classes)) < len(classes):
    return float('nan')
  return float(metrics.silhouette_score(vectors, classes))


def draw(
  points: np.ndarray, classes: np.ndarray, colors: np.ndarray
) -> np.ndarray:
  """Draws points [N, 2] in the colours of their classes: uint8 [H, W, 3]."""
  low, span = points.min(0), np.ptp(points, axis=0).max() or 1.0
  places = 8 + (points - low) / span * (_SIDE - 16)
  canvas = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
  # In a fixed random order, so that no class lies on top of the others.
  for i in np.random.default_rng(0).permutation(len(points)):
    center = tuple(round(float(x)) for x in places[i])
    color = tuple(int(x) for x in colors[classes[i]])
    cv2.circle(canvas, center, 3, color, -1, cv2.LINE_AA)
  return canvas


def run(
  workdirs: Sequence[str], out: pathlib.Path, *, which: str, **options: Any
) -> None:
  """Draws a panel for every run; see the top of this file."""
  runs = {name: workdir_lib.load(name, which=which) for name in workdirs}
  sets = {labels.identify(r.config.classes): r for r in runs.values()}
  if len(sets) > 1:
    raise errors.UserError(
      f'the runs have the classes {", ".join(sorted(sets))}; expected one set'
    )
  class_set = labels.get_class_set(next(iter(runs.values())).config.classes)
  columns = {}
  for name, loaded in runs.items():
    vectors, classes = collect(loaded, **options)
    score = separation(vectors, classes)
    print(f'{name}: {len(vectors)} pixels, silhouette {score:.3f}')
    flat = embed(vectors, seed=options['seed'])
    columns[name] = [draw(flat, classes, class_set.colors)]
  panel = panels.lay_out(columns)
  legend = panels.draw_legend(
    class_set.names, class_set.colors, width=panel.shape[1]
  )
  panels.write_png(out, panels.stack([panel, legend]))
  print(f'wrote {out}')


def main() -> None:
  """Runs the command line."""
  command.hide_accelerators()
  given = flags.FLAGS
  run(
    given.workdirs,
    pathlib.Path(given.out),
    which=given.checkpoint,
    space=given.space,
    images=given.images,
    pixels=given.pixels,
    split=given.split,
    seed=given.seed,
  )


def define_flags():
  """Only when run as a program."""
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_string('out', None, 'PNG to write.', required=True)
  flags.DEFINE_string(
    'checkpoint', 'best', 'last, best (by the main mIoU) or a step.'
  )
  flags.DEFINE_enum('space', 'features', SPACES, 'What is drawn.')
  flags.DEFINE_integer('images', 30, 'Images that are read.', lower_bound=1)
  flags.DEFINE_integer('pixels', 100, 'Pixels of each class.', lower_bound=1)
  flags.DEFINE_string('split', None, "The config's eval_split if unset.")
  flags.DEFINE_integer('seed', 0, 'Of the pixels and of t-SNE.', lower_bound=0)
