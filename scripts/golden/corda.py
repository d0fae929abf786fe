"""CorDA (network for SYNTHIA) against the official networks and losses."""

from collections.abc import Mapping
import dataclasses
import json
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from golden import recipe
from jaxuda.losses import multitask
from jaxuda.methods import corda
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.models import pretrained
from jaxuda.ops import classmix
from jaxuda.ops import difficulty
from jaxuda.ops import mixing
from jaxuda.ops import pseudo_label
from jaxuda.step import optim
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

# The official names of the outputs.
_OUTPUTS = {
  'initial_S': 'initial_logits',
  'initial_D': 'initial_depth',
  'initial_D_src': 'initial_depth_source',
  'S': 'logits',
  'D': 'depth',
  'D_src': 'depth_source',
}
_THRESHOLDS = {'0.968': 0.968, '0.10': 0.10}


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are CorDA's."""
  return 'eval_initial_D_src' in golden


def _method(classes: int, dtype: str) -> corda.Method:
  """Returns the official settings; images are already normalised."""
  network = deeplab.Options(
    dtype=dtype,
    image_order='rgb',
    image_mean=(0.0, 0.0, 0.0),
    active_rates=2,
  )
  return corda.Method(
    num_classes=classes,
    total_steps=250000,
    network=network,
    difficulty='per_image',
    sums='device',  # There is only one.
  )


def _batch(sizes, dtype):
  """Returns source and target; invalid depth is 1 and masked."""
  count, height, width, classes, salt = (int(n) for n in sizes)
  shape = (count, height, width)

  def side(name, hole):
    image = recipe.image(name, (count, 3, height, width), salt=salt)
    inverse = recipe.positive(f'depth_{name}', shape, 1, 60, salt=salt)
    valid = recipe.positive(hole, shape, 0, 1, salt=salt) >= 0.1
    inverse = np.where(valid, inverse, 1)
    return {
      'image': jnp.asarray(image.transpose(0, 2, 3, 1), dtype),
      'depth': jnp.asarray(inverse, dtype),
      'depth_valid': jnp.asarray(valid),
    }

  batch = {'source': side('source', 'hole2'), 'target': side('target', 'hole')}
  label = recipe.labels('labels', shape, classes=classes, salt=salt)
  batch['source']['label'] = jnp.asarray(label, jnp.int32)
  return batch


def _chosen(golden, classes):
  """Returns the pasted classes like `classmix.draw_classes`: bool [B, C + 1].

  Void is 250 in the file and the last class here.
  """
  chosen = json.loads(str(golden['chosen']))
  rows = [[c if c < classes else classes for c in row] for row in chosen]
  return jnp.asarray([[c in r for c in range(classes + 1)] for r in rows])


def _net(method, shapes, salt):
  weights = {k: recipe.tensor(k, s, salt=salt) for k, s in shapes.items()}
  example = jnp.zeros((1, 65, 65, 3))
  empty = jax.eval_shape(method.task.init, jax.random.key(0), example)
  filled = pretrained.from_torch(weights, empty)
  return state_lib.create_net(jax.tree.map(jnp.asarray, filled), None)


def _mixed_losses(method, full, mixed, confidence):
  """Returns the cross-entropies under every weighting and threshold."""
  ours = {}
  for name, threshold in _THRESHOLDS.items():
    weight = _weigh(mixed['mask'], confidence, threshold)
    for mode, entry in (
      ('per_image', None),
      ('batch_mean', f'mixed_batch_mean_{name}'),
      ('none', f'mixed_no_difficulty_{name}'),
    ):
      variant = dataclasses.replace(method, difficulty=mode)
      terms = multitask.mixed_terms(
        full,
        mixed,
        weight=variant.weigh(full, {**mixed, 'weight': weight}),
      )
      pair = terms['loss_mixed'], terms['loss_mixed_initial']
      if entry:
        ours[entry] = jnp.stack(pair)
      else:
        digits = name.replace('.', '')
        ours[f'loss_mixed_{digits}'] = pair[0]
        ours[f'loss_mixed_initial_{digits}'] = pair[1]
  return ours


def _weigh(mask, confidence, threshold):
  weight = pseudo_label.pseudo_weight(confidence, threshold=threshold)
  return jnp.where(mask, 1, weight)


def _step(method, task, teacher, batch, chosen):
  """Takes a step without jitter, blur and update; returns our entries."""
  source, target = batch['source'], dict(batch['target'])
  run = method.learner.run
  full, _ = run(teacher.params, teacher.batch_stats, target['image'])
  ours = {'teacher_logits': full['logits'][:, ::4, ::4]}
  target['label'], confidence = pseudo_label.pseudo_label(full['logits'])
  for name, threshold in _THRESHOLDS.items():
    sure = (confidence >= threshold).astype(confidence.dtype)
    ours[f'quality_{name.replace(".", "")}'] = jnp.mean(sure)
  mask = jax.vmap(classmix.paste_mask)(chosen, source['label'])
  mixed = mixing.paste(mask, source, target)
  mixed['weight'] = _weigh(mask, confidence, 0.10)
  ours['mixed_labels'] = mixed['label']
  # Methods expect depth in metres.
  metres = {**source, 'depth': 655.36 / source['depth'] - 0.01}
  passes = (method.source_loss, metres), (method.mixed_loss, mixed)
  grads, stats, terms, _ = learner.run_passes(
    task.params, task.batch_stats, passes
  )
  weighted = method.add_weights(terms).values()
  ours['loss_total_010'] = sum(weight * loss for weight, loss in weighted)
  # `_mixed_losses` has these, under every threshold.
  for name in ('loss_mixed', 'loss_mixed_initial'):
    del terms[name]
  ours |= terms
  full, _ = run(task.params, task.batch_stats, mixed['image'])
  agreement = difficulty.depth_agreement(
    full['depth_source'],
    full['depth'],
    mixed['depth'],
    valid=mixed['depth_valid'],
  )
  ours['depth_weight_mean'] = jnp.mean(agreement)
  ours |= _mixed_losses(method, full, mixed, confidence)
  return ours, grads, stats


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file that is a result.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  *_, classes, salt = (int(n) for n in golden['sizes'])
  shapes = json.loads(str(golden['shapes']))
  method = _method(classes, dtype)
  batch = _batch(golden['sizes'], dtype)
  task, teacher = (_net(method, shapes, s) for s in (salt, salt + 5))
  ours = {}
  for mode in ('eval', 'train'):
    out, _ = jax.jit(
      lambda net, image, train=mode == 'train': deeplab.run(
        method.task, net.params, net.batch_stats, image, train=train
      )
    )(task, batch['source']['image'])
    for theirs, name in _OUTPUTS.items():
      values = np.asarray(out[name])
      values = values[..., None] if values.ndim == 3 else values
      ours[f'{mode}_{theirs}'] = np.moveaxis(values, -1, 1)
  # One device, under the axis name of a step.
  step = jax.jit(
    jax.vmap(
      lambda *args: _step(method, *args),
      in_axes=(None, None, 0, None),
      axis_name=parallel.AXIS,
    )
  )
  results = step(
    task,
    teacher,
    jax.tree.map(lambda x: x[None], batch),
    _chosen(golden, classes),
  )
  results, grads, stats = jax.tree.map(lambda x: np.asarray(x)[0], results)
  ours |= results
  ours['mixed_labels'] = np.where(
    results['mixed_labels'] == 255, 250, results['mixed_labels']
  )
  ours['teacher_logits'] = np.moveaxis(results['teacher_logits'], -1, 1)
  ours |= _describe(method, grads, stats)
  return ours


def _describe(method, grads, stats):
  """Returns gradient norms, names without one, and running statistics."""
  norms = {
    k: np.linalg.norm(v)
    for k, v in pretrained.to_torch({'params': grads}).items()
  }
  pairs = {
    k: np.array([v.mean(), np.linalg.norm(v)])
    for k, v in pretrained.to_torch({'batch_stats': stats}).items()
  }
  labels = optim.labels_of(grads, train_affine=False, active_rates=2)
  still = [
    (path[-1], pretrained.torch_key(path))
    for path, group in flax.traverse_util.flatten_dict(labels).items()
    if group == 'frozen'
  ]
  # Parameters that the optimizer does not update have no gradient either.
  moving = [key for _, key in still if norms[key]]
  if moving:
    raise ValueError(f'{moving[0]} is not trained and has a gradient')
  affine = ('scale', 'bias')
  return {
    'grad_norms': norms,
    'running_stats_after': pairs,
    'frozen': sorted(key for leaf, key in still if leaf in affine),
    'no_grad': sorted(key for leaf, key in still if leaf not in affine),
  }
