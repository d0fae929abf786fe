"""A method and a pipeline that take no time, for tests of the loop around them.

The method is a 1x1 convolution; the colour of a pixel is its class.
"""

import contextlib
import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.records import units
from jaxuda.methods import base
from jaxuda.ops import resize
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

IMAGES = 5
CLASSES = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """Fits a linear map of the colours, and optionally predicts a depth of 20 m.

  Attributes:
    learning_rate: learning rate of SGD.
    poison: step whose loss is NaN; -1 for none.
    poison_spare: step after which a parameter is NaN; -1 for none.
    width: size of a second, unused parameter.
    depth: whether to predict depth, too.
  """

  num_classes: int = CLASSES
  total_steps: int = 12
  learning_rate: float = 0.1
  poison: int = -1
  poison_spare: int = -1
  width: int = 3
  depth: bool = True

  @property
  def needs(self):
    return {'source': ('image', 'label', 'depth'), 'target': ('image',)}

  @property
  def tx(self):
    return optax.sgd(self.learning_rate, momentum=0.9)

  def init(self, key, example):
    # Compiling a program that draws them would take most of a test's time.
    kernel = jnp.sin(jnp.arange(3.0 * self.num_classes)).reshape(3, -1)
    del key
    assert example['source']['depth'].ndim == 3
    params = {'kernel': kernel, 'spare': jnp.zeros((self.width,))}
    net = state_lib.create_net({'params': params}, self.tx)
    return state_lib.TrainState(
      step=jnp.zeros((), jnp.int32), nets={'task': net}
    )

  def train_step(self, state, batch, key):
    del key
    net, source = state.nets['task'], batch['source']

    def loss_fn(params):
      logits = _normalize(source['image']) @ params['kernel']
      losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.minimum(source['label'], self.num_classes - 1)
      )
      return losses.mean()

    loss, grads = jax.value_and_grad(loss_fn)(net.params)
    loss = jnp.where(state.step + 1 == self.poison, jnp.nan, loss)
    bad = jnp.where(state.step + 1 == self.poison_spare, jnp.nan, 0)
    grads = {**grads, 'spare': grads['spare'] + bad}
    net = state_lib.update(net, grads, self.tx)
    state = state.replace(step=state.step + 1, nets={'task': net})
    return state, parallel.mean({'loss_seg': loss, 'loss_other': loss * 0 + 1})

  def predict(self, state, image, *, size=None):
    logits = _normalize(image) @ state.nets['task'].params['kernel']
    if size == 'grid' or size is None:
      size = image.shape[1:3]
    out = {'logits': resize.resize_align_corners(logits, size)}
    if self.depth:
      out['depth'] = jnp.full(out['logits'].shape[:3], 20.0)
    return out

  def restore_depth(self, values):
    return values

  def pictures(self, state, batch, key):
    del state, key
    source = batch['source']
    return {
      'image': {'seen': parallel.mean(source['image'].astype(jnp.float32))},
      'label': {'true': source['label']},
    }


def _normalize(image):
  return image.astype(jnp.float32) / 128 - 1


def make_config(**changes):
  """Returns a complete config for the tiny method and pipeline."""
  domain = {
    'dataset': 'tiny',
    'split': 'train',
    'manual_dir': None,
    'size': (8, 16),
    'crop': (0, 0),
    'image_resize': 'bicubic',
  }
  config = ml_collections.ConfigDict(
    {
      'name': 'tiny',
      'pair': 'tiny',
      'classes': 'coarse7',
      'num_classes': CLASSES,
      'seed': 3,
      'total_steps': 12,
      'stop_step': 12,
      'batch_size': 2,
      'eval_batch_size': 2,
      'log_every': 2,
      'eval_every': 6,
      'checkpoint_every': 3,
      'picture_every': 0,
      'keep_last': 2,
      'data': {
        'data_dir': None,
        'source': domain,
        'target': {**domain, 'eval_split': 'val'},
      },
      'method': {},
    }
  )
  config.update(changes)
  return config


def make_images(rng, count, size):
  """Returns images whose colour is the class, and their labels."""
  height, width = size
  label = rng.integers(0, CLASSES, (count, height // 4, width // 4))
  label = label.repeat(4, 1).repeat(4, 2).astype(np.int32)
  image = np.stack([label * 36, 255 - label * 36, label % 2 * 255], -1)
  return image.astype(np.uint8), label


def train_stream(
  data_config,
  *,
  classes,
  needs,
  batch_size,
  seed,
  start_step=0,
  process_index=0,
  process_count=1,
):
  """Replaces `pipeline.train_stream`."""
  del classes, process_index, process_count
  step = start_step
  while True:
    rng = np.random.default_rng((seed, step))
    batch = {}
    for domain, fields in needs.items():
      size = data_config[domain].size
      image, label = make_images(rng, batch_size, size)
      depth = np.full(label.shape, 10, np.float32)
      arrays = {'image': image, 'label': label, 'depth': depth}
      batch[domain] = {k: v for k, v in arrays.items() if k in fields}
      if 'depth' in fields:
        batch[domain]['depth_valid'] = np.ones(label.shape, bool)
    yield batch
    step += 1


def eval_stream(
  data_config,
  *,
  classes,
  batch_size,
  split=None,
  with_depth=False,
  domain='target',
  process_index=0,
  process_count=1,
  whole_images=False,
  many_sizes=False,
  optional=(),
):
  """Replaces `pipeline.eval_stream`; labels have twice the size.

  The split 'bare' has no labels.
  """
  del classes, many_sizes
  bare = (split or data_config[domain].get('eval_split')) == 'bare'
  assert 'label' in optional or not bare
  height, width = data_config[domain].size
  share = batch_size // process_count
  rows = slice(process_index * share, (process_index + 1) * share)
  for start in range(0, IMAGES, batch_size):
    rng = np.random.default_rng(start)
    count = min(batch_size, IMAGES - start)
    image, label = make_images(rng, batch_size, (2 * height, 2 * width))
    label[count:] = 255
    step = 1 if whole_images else 2
    batch = {
      'image': np.ascontiguousarray(image[rows, ::step, ::step]),
      'label': label[rows],
      'name': [f'image {i}' for i in range(start, start + count)][rows],
    }
    if with_depth:
      batch['depth'] = np.full(batch['label'].shape, 10, np.float32)
      batch['depth_valid'] = batch['label'] < 255
    if bare:
      batch = {k: batch[k] for k in ('image', 'name')}
    yield batch


def eval_size(
  data_config, *, classes=None, split=None, domain='target', optional=()
):
  """Replaces `pipeline.eval_size`."""
  del data_config, classes, split, domain, optional
  return IMAGES


def scores_depth(data_config, *, learnt_from='target', split=None):
  """Replaces `units.scores_depth`."""
  del data_config, learnt_from, split
  return True


@contextlib.contextmanager
def one_device():
  """A context in which this process has one device, the first."""
  first = jax.local_devices()[:1]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, 'local_device_count', lambda: 1)
    patch.setattr(jax, 'local_devices', lambda: first)
    yield


def create(config):
  """Replaces `methods.create`."""
  if config.name != 'tiny':
    raise errors.UserError(f'unknown method {config.name!r}')
  return Method(num_classes=config.num_classes, **config.method)


def install(monkeypatch):
  """Puts the method and the pipeline in place of the real ones."""
  monkeypatch.setattr(methods, 'create', create)
  for name in ('train_stream', 'eval_stream', 'eval_size'):
    monkeypatch.setattr(pipeline, name, globals()[name])
  monkeypatch.setattr(units, 'scores_depth', scores_depth)


def read_lines(workdir):
  text = (workdir / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def read_scores(workdir):
  return json.loads((workdir / 'scores.json').read_text())
