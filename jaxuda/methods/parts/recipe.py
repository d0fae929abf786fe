"""Later additions to self-training: feature distance and masked images.

DAFormer (Hoyer et al., CVPR 2022) and MIC (Hoyer et al., CVPR 2023) add them to
the self-training of DACS. Both are off unless a config gives them a weight, and
are then absent from the compiled program. The step itself, which DACS and CorDA
share, is here, too.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxuda.losses import features as feature_losses
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.ops import masking
from jaxuda.ops import mixing
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

# Folded into the key of the step, so that masks have draws of their own.
_MASKING = 0x4D49


def anchor_of(task: state_lib.Net) -> state_lib.Net:
  """Returns a copy of a task network's backbone that is never trained.

  The state holds it as 'anchor'; `train.warm_start` gives it the weights that
  training starts from.
  """
  params, stats = (
    {'backbone': x['backbone']} if 'backbone' in x else {}
    for x in (task.params, task.batch_stats)
  )
  # Copied, because the step donates its memory, which no two leaves may share.
  params, stats = jax.tree.map(jnp.copy, (params, stats))
  return state_lib.Net(params=params, batch_stats=stats, opt_state=())


def begin(task: state_lib.Net, method: Any) -> dict[str, state_lib.Net]:
  """Returns the initial networks of a state: 'task', and 'anchor' if needed."""
  anchor = {'anchor': anchor_of(task)} if method.features.weight else {}
  return {'task': task, **anchor}


def add_anchor(
  method: Any, state: state_lib.TrainState, source: dict[str, jax.Array]
) -> dict[str, jax.Array]:
  """Adds the initial network's features of source images to them.

  Args:
    method: a `base.Method` with `network` and `features`.
    state: its state; 'anchor' is among its networks if `features` has a weight.
    source: 'image' [B, H, W, 3] RGB in 0..255.

  Returns:
    The source, with 'anchor' [B, h, w, F] if `features` has a weight.
  """
  if not method.features.weight:
    return source
  net = state.nets['anchor']
  module = deeplab.Backbone(method.network)
  variables = {'params': net.params, 'batch_stats': net.batch_stats}
  return {**source, 'anchor': module.apply(variables, source['image'])}


def feature_loss(
  method: Any, full: dict[str, jax.Array], source: dict[str, jax.Array]
) -> learner_lib.Losses:
  """Returns the weighted feature distance by name; {} if it is off.

  Args:
    method: a `base.Method` with `features`.
    full: the student's outputs, with 'features' [B, h, w, F].
    source: what `add_anchor` returned, with 'label' int [B, H, W].
  """
  options = method.features
  if not options.weight:
    return {}
  distance = feature_losses.feature_distance(
    full['features'],
    source['anchor'],
    source['label'],
    classes=options.classes,
    share=options.share,
    axis=method.axis,
  )
  return {'loss_features': (options.weight, distance)}


def train_step(
  method: Any,
  state: state_lib.TrainState,
  batch: dict[str, dict[str, jax.Array]],
  key: jax.Array,
) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
  """Takes a step of self-training, see `base.Method.train_step`.

  All gradients are taken at the old parameters; the teacher follows.

  Args:
    method: a `base.Method` with `mixing`, `mix`, the passes `source_loss`,
      `mixed_loss` and `masked_loss`, and an `adversary`.
    state: state before the step.
    batch: one device's batch.
    key: the root key of the run.

  Returns:
    (state after the step, metrics: all losses, and 'quality', the mean weight
    of the pseudo-labels).
  """
  mixed, target, teacher_stats = method.mix(state, batch, key)
  nets = dict(state.nets)
  source = add_anchor(method, state, batch['source'])
  passes = [(method.source_loss, source), (method.mixed_loss, mixed)]
  passes += masked_passes(method, state, target, key)
  passes += adversary_lib.align_passes(method, nets, batch['target'])
  nets['task'], losses, maps = method.learner.train(
    state.nets['task'], passes, noise=method.noise(state, key)
  )
  nets, terms = method.adversary.update_each(nets, [maps[0], maps[-1]])
  teacher = state_lib.update_teacher(
    state.teacher,
    nets['task'],
    decay=state_lib.ema_decay(
      state.step,
      limit=method.mixing.alpha,
      before=method.mixing.count_initial,
    ),
    batch_stats=teacher_stats,
  )
  state = state.advance(nets, teacher=teacher)
  quality = jnp.mean(target['weight'])
  return state, parallel.mean({**losses, **terms, 'quality': quality})


def masked_passes(
  method: Any,
  state: state_lib.TrainState,
  target: dict[str, jax.Array],
  key: jax.Array,
) -> list[tuple[Any, ...]]:
  """Returns MIC's pass for `learner.run_passes`; none if it is off.

  Its losses are those that the method's `masked_loss` returns, with the weights
  for mixed images times `masking.weight`.

  Args:
    method: a `base.Method` with `network`, `mixing` and `masking`.
    state: a training state; only its step matters.
    target: target images with their pseudo-labels, see `mask_target`.
    key: the root key of the run.
  """
  weight = method.masking.weight
  if not weight:
    return []

  def loss(*args):
    losses, stats, handed = method.masked_loss(*args)
    losses = {
      k.replace('mixed', 'masked'): (weight * own, value)
      for k, (own, value) in losses.items()
    }
    return losses, stats, handed

  masked = mask_target(method, target, jax.random.fold_in(key, state.step))
  return [(loss, masked)]


def mask_target(
  method: Any, target: dict[str, jax.Array], key: jax.Array
) -> dict[str, jax.Array]:
  """Masks blocks of target images, as MIC does.

  Args:
    method: a `base.Method` with `network`, `mixing` and `masking`.
    target: 'image' [B, H, W, 3] RGB in 0..255; other entries are kept.
    key: typed key of the step, the same on every device.

  Returns:
    The target with its masked image, and 'mask' bool [B, H, W], all False,
    since no pixel is the source's.
  """
  image = target['image']
  image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
  augment_key, mask_key = jax.random.split(jax.random.fold_in(key, _MASKING))
  index = mixing.number_images(len(image), axis=parallel.AXIS)
  if method.masking.augment:
    image = mixing.augment_images(augment_key, image, index, method.mixing)
  image = masking.mask_images(
    mask_key,
    image,
    index,
    fill=deeplab.mean_color(method.network),
    options=method.masking,
  )
  nowhere = jnp.zeros(image.shape[:3], bool)
  return {**target, 'image': image, 'mask': nowhere}
