"""GIO-Ada against a second implementation of the paper.

No official code exists. The file's choices: the generator sees labels and
depth; both discriminators are 70x70 PatchGANs; VGG-16 with ASPP-L, no dropout;
the joint discriminator sees softmax and depth at full resolution.
"""

from collections.abc import Mapping
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from golden import recipe
from jaxuda.methods import gio_ada
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.models import pretrained
from jaxuda.ops import image as image_ops

_BLOCKS = 9
# Our networks -> the prefix of their entries.
_PREFIXES = {
  'gen': 'G.',
  'task': 'T.',
  'disc_input': 'DI.',
  'disc_output': 'DO.',
}


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are GIO-Ada's."""
  return 'generated' in golden and 'patch_joint' in golden


def _method(classes: int, dtype: str) -> gio_ada.Method:
  """Returns the file's settings; the task network's input is in -1..1."""
  network = deeplab.Options(
    backbone='vgg16',
    decoder='aspp_l',
    decoder_width=1024,
    dropout=0.0,
    dtype=dtype,
    image_order='rgb',
    image_mean=(127.5,) * 3,
    image_scale=(1 / 127.5,) * 3,
  )
  return gio_ada.Method(
    num_classes=classes,
    total_steps=100,
    network=network,
    output_disc='patch',
    depth_far=1.0,
    gen_blocks=_BLOCKS,
    sums='device',  # There is only one.
  )


def _batch(sizes, dtype):
  height, width, classes, salt = (int(n) for n in sizes)
  shape = (1, height, width)

  def image(name):
    x = recipe.image(name, (1, 3, height, width), salt=salt) / 135
    x = jnp.asarray(x.transpose(0, 2, 3, 1), dtype)
    return image_ops.from_symmetric(x)

  label = recipe.labels('labels', shape, classes=classes, salt=salt)
  depth = recipe.positive('depth', shape, 0, 1, salt=salt)
  return {
    'source': {
      'image': image('source'),
      'label': jnp.asarray(label, jnp.int32),
      'depth': jnp.asarray(depth, dtype),
      'depth_valid': jnp.ones(shape, bool),
    },
    'target': {'image': image('target')},
  }


def _task_key(path):
  """Returns T.features.24.weight, T.segmentation.branches.2.fc6.bias."""
  if path[0] == 'backbone':
    return pretrained.vgg_key(path[1:])
  head = {'semantic': 'segmentation', 'depth': 'depth'}[path[0]]
  layer, branch = path[1].split('_')
  leaf = {'kernel': 'weight', 'bias': 'bias'}[path[2]]
  return f'{head}.branches.{branch}.{layer}.{leaf}'


_KEYS = {
  'gen': functools.partial(pretrained.generator_key, blocks=_BLOCKS),
  'task': _task_key,
  'disc_input': pretrained.patch_key,
  'disc_output': pretrained.patch_key,
}


def _params(method, batch, shapes, salt):
  """Returns the recipe's weights, by network."""
  empty = jax.eval_shape(method.init, jax.random.key(0), batch)
  params = {}
  for name, prefix in _PREFIXES.items():
    chosen = {
      k.removeprefix(prefix): recipe.tensor(k, s, salt=salt)
      for k, s in shapes.items()
      if k.startswith(prefix)
    }
    filled = pretrained.from_torch(
      chosen, {'params': empty.nets[name].params}, naming=_KEYS[name]
    )
    params[name] = jax.tree.map(jnp.asarray, filled['params'])
  return params


def _step(method, params, batch):
  """Returns (losses, gradients by network, the generated, the target's map)."""
  key = jax.random.key(0)
  discs = {k: v for k, v in params.items() if k.startswith('disc')}
  trained = {k: params[k] for k in ('task', 'gen')}
  passes = (
    (method.source_loss, discs, batch['source'], key),
    (method.target_loss, discs, batch['target'], key),
  )
  grads, _, losses, (source_maps, target_maps) = learner.run_passes(
    trained, {}, passes
  )
  target = image_ops.to_symmetric(batch['target']['image'])
  sides = {
    'disc_input': (target, source_maps['disc_input']),
    'disc_output': (source_maps['disc_output'], target_maps['disc_output']),
  }
  for name, (real, fake) in sides.items():

    def loss(p, name=name, real=real, fake=fake):
      return method.critic(name).loss(p, real, fake)

    value, grads[name] = jax.value_and_grad(loss)(params[name])
    losses[name.replace('disc', 'loss_d')] = value
  made = source_maps['disc_input']
  return losses, grads, {'image': made, 'joint': target_maps['disc_output']}


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file that is a number.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  *_, classes, salt = (int(n) for n in golden['sizes'])
  method = _method(classes, dtype)
  batch = _batch(golden['sizes'], dtype)
  params = _params(method, batch, json.loads(str(golden['shapes'])), salt)
  losses, grads, maps = jax.jit(functools.partial(_step, method))(params, batch)
  ours = {k: np.asarray(v) for k, v in losses.items()}

  def first(x):
    return np.moveaxis(np.asarray(x), -1, 1)

  @jax.jit
  def outputs(params, image):
    return deeplab.run(method.task, params, {}, image, train=False)[0]

  out = outputs(params['task'], image_ops.from_symmetric(maps['image']))
  ours['source_logits'] = first(out['logits'])
  ours['source_depth'] = np.asarray(out['depth'])[:, None]
  out = outputs(params['task'], batch['target']['image'])
  ours['target_logits'] = first(out['logits'])
  ours['generated'] = first(maps['image'])[..., ::2, ::2]
  for entry, name in (('image', 'disc_input'), ('joint', 'disc_output')):
    judge = jax.jit(method.critic(name).learner.apply)
    ours[f'patch_{entry}'] = first(judge(params[name], maps[entry]))
  ours['grad_norms'] = {
    prefix + key: np.linalg.norm(value)
    for name, prefix in _PREFIXES.items()
    for key, value in pretrained.to_torch(
      {'params': grads[name]}, naming=_KEYS[name]
    ).items()
  }
  return ours
