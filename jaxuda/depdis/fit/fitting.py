"""Class-wise mixtures of the source's pixels, fitted once and kept in a file.

A mixture of K Gaussians over (x, y, inverse depth) on the network's output grid
is fitted to a sample of each class's pixels, by scikit-learn in float64. The
name of the file is a hash of everything that it depends on, so that it is
fitted once for all runs. A picture of the densities is stored next to it.

The official code contains its mixtures as numbers and does not say how they
were fitted. K, diagonal covariances, raw units and the variance floor are
known; everything else is our choice, and is recorded in the file.
"""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import sys
from typing import Any, Literal
import warnings

import ml_collections
import numpy as np
import sklearn
from sklearn import exceptions
from sklearn import mixture

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.records import access
from jaxuda.data.records import domain as domain_lib
from jaxuda.depdis.fit import picture
from jaxuda.depdis.fit import sampling
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

# Part of the files' names; increased when the same options give other numbers.
_VERSION = 1
_NEEDS = {'source': ('label', 'depth')}
# Fields of the source that make images or crops with rare classes more likely.
_CHOOSING = ('rare_temperature', 'rare_pixels', 'rare_crop', 'crop_most')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """`config.mixtures`.

  Attributes:
    components: number K of Gaussians per class; 5 in the paper.
    covariance: kind of the covariances; 'diag' in the official code.
    samples: maximum number of pixels to which a class is fitted.
    images: number of source images to read, in random order; 0 for all.
    least: number of pixels below which a class gets density 0 instead of a
      mixture.
    floor: number that is added to the variances; 1e-6 in the official numbers.
    iterations: maximum number of steps of expectation maximisation.
    tolerance: gain of the mean log likelihood below which the fit ends.
    seed: seed of the order of images, the choice of pixels and the
      initialisation.
    folder: folder of the files; '' for depdis_mixtures next to the datasets.
  """

  components: int = 5
  covariance: Literal['diag', 'full'] = 'diag'
  samples: int = 50000
  images: int = 0
  least: int = 500
  floor: float = 1e-6
  iterations: int = 200
  tolerance: float = 1e-3
  seed: int = 1234
  folder: str = ''

  def __post_init__(self):
    errors.check_choices(self, group='mixtures')
    ranges = {
      'components': (1, None),
      'samples': (1, None),
      'images': (0, None),
      'least': (self.components, None),
      'iterations': (1, None),
      'seed': (0, None),
    }
    errors.check_ranges(self, ranges, group='mixtures')
    if self.floor <= 0:
      raise errors.UserError(f'mixtures.floor={self.floor}; expected above 0')


def read_options(config: ml_collections.ConfigDict) -> Options:
  """Reads `config.mixtures`.

  Raises:
    UserError: a value is out of range, or a field is unknown.
  """
  return errors.construct(Options, config.get('mixtures', {}), group='mixtures')


def prepare(method: Any, config: ml_collections.ConfigDict) -> Any:
  """Returns the method `depdis` with the file of its mixtures filled in.

  Args:
    method: the method created from the config.
    config: the whole config.

  Raises:
    UserError: the given file is missing, does not fit, or has other classes or
      another grid; the source has no labels or depth; or class weights are
      given that are not used.
  """
  if method.class_weights and not method.balance_classes:
    raise errors.UserError(
      'method.balance_classes=False leaves out method.class_weights='
      f'{method.class_weights}; expected balance_classes=True, or'
      " --config.method.class_weights='()'"
    )
  if not method.needs_mixtures:
    return method
  _check_grid(method, config)
  if not method.mixtures:
    method = dataclasses.replace(method, mixtures=str(find_or_fit(config)))
  theirs = method.read_mixtures().info.get('classes')
  names = list(labels.get_class_set(config.classes).names)
  if theirs and theirs != names:
    raise errors.UserError(
      f'{method.mixtures} has mixtures of {", ".join(theirs)}; expected'
      f' {", ".join(names)}'
    )
  return method


def _check_grid(method, config):
  """Checks that positions on the network's outputs are those of the mixtures.

  Raises:
    UserError: a side has outputs of another size, and `grid` is 'index'.
  """
  if method.grid != 'index' or not method.lambda_balance:
    return
  where, (fitted, _) = 'the source', _grids(config)
  if method.mixtures:
    where, fitted = method.mixtures, method.read_mixtures().grid
  sides = ('source', 'target') if method.lambda_balance_target else ('source',)
  for side in sides:
    size = tuple(_input_size(config.data[side]))
    grid = method.network.grid_size(size)
    if grid != fitted:
      raise errors.UserError(
        f'{where} has mixtures on a grid of {fitted}; expected {grid}, that of'
        f' the outputs for {size} pixels of config.data.{side}, or'
        ' --config.method.grid=scaled'
      )


def _input_size(domain):
  """Returns (height, width) of the images of a side that are trained on."""
  crop = domain.get('crop', (0, 0))
  return crop if all(crop) else domain.size


def find_or_fit(config: ml_collections.ConfigDict) -> pathlib.Path:
  """Returns the file of a config's mixtures, fitting them on first use.

  They describe the source itself, of which class weights and the thresholds of
  the spatial prior count the pixels: every image is read once, also when
  training draws those with rare classes more often.
  """
  options = read_options(config)
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.data.source.update(
      {field: getattr(domain_lib.Domain, field) for field in _CHOOSING}
    )
  source = access.Records(
    domain_lib.read_domain(config.data, 'source'),
    classes=config.classes,
    fields=_NEEDS['source'],
  )
  depends = _describe(config, options, source)
  folder = options.folder or os.path.join(source.root, 'depdis_mixtures')
  name = f'{workdir_lib.digest(depends)}.npz'
  path = pathlib.Path(folder).expanduser() / name
  if not path.is_file():
    images = min(options.images or len(source), len(source))
    fitted = fit(config, options, images=images)
    fitted.info['depends'] = depends
    write(path, fitted)
  return path


def fit(
  config: ml_collections.ConfigDict, options: Options, *, images: int
) -> mixtures_lib.Mixtures:
  """Reads the source and fits every class.

  Args:
    config: the whole config, of which data, classes and network are used.
    options: see `Options`.
    images: number of images to read.
  """
  names = labels.get_class_set(config.classes).names
  data = config.data
  grid, _ = _grids(config)
  stream = pipeline.train_stream(
    data, classes=config.classes, needs=_NEEDS, batch_size=1, seed=options.seed
  )
  batches = (batch['source'] for batch in itertools.islice(stream, images))
  sample = sampling.sample_pixels(
    display.track(batches, name='read depth and labels', total=images),
    classes=len(names),
    size=options.samples,
    grid=grid,
    seed=options.seed,
  )
  stream.close()
  shown = display.track(
    sample.points, name='fit mixtures', total=len(names), unit='classes'
  )
  fitted = [fit_class(points, options) for points in shown]
  *arrays, infos = zip(*fitted, strict=True)
  weights, means, covariances = map(np.stack, arrays)
  return mixtures_lib.Mixtures(
    weights=weights,
    means=means,
    covariances=covariances,
    counts=sample.counts,
    grid=grid,
    info={
      'classes': list(names),
      'images': sample.images,
      'scikit_learn': sklearn.__version__,
      'per_class': infos,
    },
  )


def _grids(config):
  """Returns the grids (height, width) of the config's network and a ResNet."""
  network = errors.construct(
    deeplab.Options, config.get('network', {}), group='network'
  )
  size = _input_size(config.data.source)
  return network.grid_size(size), deeplab.Options().grid_size(size)


def fit_class(
  points: np.ndarray, options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
  """Fits the mixture of one class.

  Args:
    points: float64 [n, 3], columns, rows and inverse depths.
    options: see `Options`.

  Returns:
    (weights [K], means [K, 3], covariances [K, 3] or [K, 3, 3], {'samples': n,
    'log_likelihood': mean over the sample, 'converged': bool, 'iterations':
    int}). With fewer than `options.least` points, the weights are 0 and the
    last contains only 'samples'.
  """
  k = options.components
  info = {'samples': len(points)}
  if len(points) < options.least:
    spread = np.ones((k, 3))
    if options.covariance == 'full':
      spread = np.tile(np.eye(3), (k, 1, 1))
    return np.zeros(k), np.zeros((k, 3)), spread, info
  model = mixture.GaussianMixture(
    k,
    covariance_type=options.covariance,
    reg_covar=options.floor,
    max_iter=options.iterations,
    tol=options.tolerance,
    random_state=options.seed % 2**32,
  )
  with warnings.catch_warnings():
    # The file and the table record this instead.
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    model.fit(points)
  info |= {
    'log_likelihood': float(model.score(points)),
    'converged': bool(model.converged_),
    'iterations': int(model.n_iter_),
  }
  return model.weights_, model.means_, model.covariances_, info


def _describe(config, options, source):
  """Returns everything on which the numbers depend, in JSON types."""
  domain = dataclasses.asdict(source.domain)
  for field in ('side', 'data_dir', 'manual_dir', 'image_resize'):
    domain.pop(field)
  # Files written before these fields existed keep their names.
  if not domain['first']:
    domain.pop('first')
  if domain['scale_range'] == domain_lib.Domain.scale_range:
    domain.pop('scale_range')
  fitting = dataclasses.asdict(options)
  fitting.pop('folder')
  ends = (source.read(0), source.read(len(source) - 1))
  grid, usual = _grids(config)
  return {
    'version': _VERSION,
    'source': domain,
    'images': len(source),
    'records': [hashlib.sha256(x).hexdigest()[:16] for x in ends],
    'classes': labels.identify(config.classes),
    'options': fitting,
    # Files written when all networks had the same grid keep their names.
    **({} if grid == usual else {'grid': grid}),
  }


def write(path: pathlib.Path, mixtures: mixtures_lib.Mixtures) -> None:
  """Writes a file and its picture, and prints the classes without a mixture.

  Args:
    path: file to write, ending in .npz; the picture's name ends in .png.
    mixtures: result of `fit`.
  """
  names = mixtures.info['classes']
  panels.write_png(path.with_suffix('.png'), picture.draw(mixtures, names))
  with files.atomic(path) as part:
    mixtures_lib.write(part, mixtures)
  print(f'wrote {path} and {path.with_suffix(".png").name}', file=sys.stderr)
  few = [
    f'{name} ({info["samples"]})'
    for name, info in zip(names, mixtures.info['per_class'], strict=True)
    if 'log_likelihood' not in info
  ]
  if few:
    text = 'too few pixels for a mixture, so density 0 everywhere: '
    print(text + ', '.join(few), file=sys.stderr)


def show(path: str | os.PathLike) -> None:
  """Prints a table of the classes in a file."""
  m = mixtures_lib.read(path)
  rows = []
  for name, count, info in zip(
    m.info['classes'], m.counts, m.info['per_class'], strict=True
  ):
    fitted = ('-', '-', 'too few')
    if 'log_likelihood' in info:
      fitted = (
        f'{info["log_likelihood"]:.3f}',
        str(info['iterations']),
        'yes' if info['converged'] else 'no',
      )
    rows.append((name, f'{count:,}', f'{info["samples"]:,}', *fitted))
  display.print_table(
    f'{m.info["images"]} images on a grid of {m.grid[0]}x{m.grid[1]}; the'
    f' sharpness derived from them is {m.sharpness:.4g}',
    ('class', 'pixels', 'sample', 'log likelihood', 'iterations', 'converged'),
    rows,
  )
