"""A network with its optimizer, and the passes of a step through it."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any, Literal

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxuda.models import deeplab
from jaxuda.models import lowering
from jaxuda.ops import resize
from jaxuda.step import state as state_lib

Statistics = Literal['both', 'target']
Terms = dict[str, jax.Array]
# name -> (weight, value); a pass minimises the weighted sum.
Losses = dict[str, tuple[float, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Learner:
  """A network with its optimizer.

  Attributes:
    module: architecture of the network.
    tx: optimizer; None for a network that is never updated.
  """

  module: nn.Module
  tx: optax.GradientTransformation | None = None

  def create(self, key: jax.Array, example: jax.Array) -> state_lib.Net:
    """Returns a new network.

    Args:
      key: typed key.
      example: an input; only its shape and dtype matter.
    """
    return state_lib.create_net(self.module.init(key, example), self.tx)

  def create_for(self, key: jax.Array, channels: int) -> state_lib.Net:
    """Returns a new network for maps [B, H, W, channels].

    The weights do not depend on H and W, and 32 pixels survive the five
    halvings of a discriminator.
    """
    dtype = self.module.style.dtype
    return self.create(key, jnp.zeros((1, 32, 32, channels), dtype))

  def apply(self, params: Any, maps: jax.Array) -> jax.Array:
    """Returns the output of a network without running statistics."""
    return self.module.apply({'params': params}, maps)

  def run(
    self,
    params: Any,
    batch_stats: Any,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
    dropout_key: jax.Array | None = None,
    features: bool = False,
  ) -> tuple[Terms, Any]:
    """Runs a task network in training mode, see `deeplab.run`.

    Args:
      params: parameters of the network.
      batch_stats: running statistics before this pass.
      image: [B, H, W, 3] RGB in 0..255.
      size: see `deeplab.predict`.
      dropout_key: key of this pass, for a network that draws random numbers;
        None for a pass that drops nothing.
      features: also return the backbone's last map, unresized, as 'features'.

    Returns:
      (the outputs by name, running statistics after this pass). The 'detail' of
      a network that saw a crop of the images, see `models.hrda`, is resized to
      that crop's size.
    """
    options = {'dropout_key': dropout_key, 'features': features}
    out, stats = deeplab.run(
      self.module, params, batch_stats, image, train=True, **options
    )
    kept = {'features': out.pop('features')} if features else {}
    detail = out.pop('detail', None)
    if detail is not None:
      part = [
        min(pair)
        for pair in zip(
          image.shape[1:3], self.module.options.detail_crop, strict=True
        )
      ]
      logits = self.upsample({'logits': detail['logits']}, part)
      kept['detail'] = {**detail, **logits}
    if size != 'grid':
      out = self.upsample(out, image.shape[1:3] if size is None else size)
    return {**out, **kept}, stats

  def run_on(
    self,
    params: Any,
    batch_stats: Any,
    batch: Mapping[str, jax.Array],
    **options: Any,
  ) -> tuple[Terms, Any]:
    """Runs a task network on the 'image' of one domain of a batch, see `run`.

    The key of the pass is the batch's 'noise', if there is one, see
    `run_passes`.
    """
    noise = batch.get('noise')
    return self.run(
      params, batch_stats, batch['image'], dropout_key=noise, **options
    )

  def upsample(self, outputs: Terms, size: Sequence[int]) -> Terms:
    """Resizes a task network's outputs to (height, width) by its own rule."""
    align_corners = self.module.options.align_corners
    return {
      k: resize.resize_maps(v, size, align_corners=align_corners)
      for k, v in outputs.items()
    }

  def train(
    self,
    net: state_lib.Net,
    passes: Sequence[Sequence[Any]],
    *,
    statistics: Statistics = 'both',
    noise: jax.Array | None = None,
  ) -> tuple[state_lib.Net, Terms, list[Any]]:
    """Takes one step on the sum of the losses of passes, see `run_passes`.

    Returns:
      (the network after the step, all losses by name, what each pass handed
      on).
    """
    grads, batch_stats, terms, handed = run_passes(
      *(net.params, net.batch_stats, passes),
      statistics=statistics,
      noise=noise,
    )
    return self.update(net, grads, batch_stats=batch_stats), terms, handed

  def update(
    self, net: state_lib.Net, grads: Any, *, batch_stats: Any = None
  ) -> state_lib.Net:
    """Takes one optimizer step, see `state.update`."""
    return state_lib.update(net, grads, self.tx, batch_stats=batch_stats)


def run_passes(
  params: Any,
  batch_stats: Any,
  passes: Sequence[Sequence[Any]],
  *,
  statistics: Statistics = 'both',
  noise: jax.Array | None = None,
) -> tuple[Any, Any, Terms, list[Any]]:
  """Takes the gradients of several losses at the same parameters, in order.

  The activations of a pass are freed before those of the next one are computed,
  as with the successive backward passes of the reference code.

  Args:
    params: parameters with respect to which the gradients are taken.
    batch_stats: running statistics before the first pass.
    passes: (loss, *arguments) each. `loss(params, batch_stats, *arguments)`
      returns the losses by name, each with its weight: {'loss_seg': (1.0,
      value)}; the running statistics after the pass; and anything to hand on,
      such as the input of a discriminator. A pass without losses only updates
      the running statistics.
    statistics: which passes update the running statistics, with which the
      evaluated network normalises. 'both': each pass continues from those that
      the previous one left, as in the official code; the mean of two domains
      suits neither when they look very different. 'target': each pass starts
      from `batch_stats`, so that only the last one, the target's, updates them,
      as in AdaBN (Li et al., 2016).
    noise: key of the passes of a network that draws random numbers. Each pass
      finds a key of its own in its last argument, a dict, as 'noise'.

  Returns:
    (the sum of the gradients, running statistics after the last pass, all
    losses by name, what each pass handed on).
  """
  grads, terms, handed, moved = None, {}, [], batch_stats
  for index, (loss, *arguments) in enumerate(passes):
    if noise is not None:
      own = {'noise': jax.random.fold_in(noise, index)}
      arguments[-1] = {**arguments[-1], **own}
    if grads is not None:
      params, grads = lowering.hold((params, grads))
    start = moved if statistics == 'both' else batch_stats
    more, (losses, moved, on) = jax.grad(_add_up(loss), has_aux=True)(
      params, start, *arguments
    )
    grads = more if grads is None else jax.tree.map(jnp.add, grads, more)
    terms |= losses
    handed.append(on)
  return grads, moved, terms, handed


def _add_up(loss):
  """A pass's loss as `jax.grad` expects it: the weighted sum, and the rest."""

  def weighted(*args):
    losses, *rest = loss(*args)
    # A float even without losses, since only a float has a gradient.
    total = sum((weight * value for weight, value in losses.values()), 0.0)
    return total, ({k: value for k, (_, value) in losses.items()}, *rest)

  return weighted
