"""The domain discriminator of the adversarial methods.

Also the alignment of outputs that self-training methods can add.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import jax

from jaxuda.losses import adversarial
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import discriminators
from jaxuda.ops import entropy
from jaxuda.step import optim as optim_lib
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True)
class Adversary:
  """A discriminator that tells the domains apart, and the loss that fools it.

  Attributes:
    learner: network and optimizer; its logits are high for the target.
    factor: weight of either term of its loss: 1 in DADA's and DepDis' code, 1/2
      in AdaptSegNet's and ADVENT's.
  """

  learner: learner_lib.Learner
  factor: float

  def create(self, key: jax.Array, channels: int) -> state_lib.Net:
    """Returns a new discriminator for maps [B, H, W, channels]."""
    return self.learner.create_for(key, channels)

  def fool(self, params: Any, maps: jax.Array) -> jax.Array:
    """Returns the loss for making target maps pass for the source's."""
    logits = self.learner.apply(params, maps)
    return adversarial.binary_cross_entropy(logits, adversarial.SOURCE)

  def loss(
    self, params: Any, source_maps: jax.Array, target_maps: jax.Array
  ) -> tuple[jax.Array, learner_lib.Terms]:
    """Returns the discriminator's loss, and its two terms unweighted."""
    logits = (self.learner.apply(params, x) for x in (source_maps, target_maps))
    return adversarial.discriminator_loss(*logits, factor=self.factor)

  def update(
    self, net: state_lib.Net, source_maps: jax.Array, target_maps: jax.Array
  ) -> tuple[state_lib.Net, learner_lib.Terms]:
    """Takes one step of the discriminator; returns it and its terms."""

    def loss(params):
      return self.loss(params, source_maps, target_maps)

    return state_lib.minimize(net, loss, self.learner.tx)

  def update_each(
    self, nets: dict[str, state_lib.Net], handed: Sequence[dict[str, jax.Array]]
  ) -> tuple[dict[str, state_lib.Net], learner_lib.Terms]:
    """Takes one step of every discriminator that has an input.

    Args:
      nets: networks by name, the discriminators among them.
      handed: the maps of the source's pass and of the target's, each by the
        name of the discriminator that sees them; the second may be missing if
        the first is empty.

    Returns:
      (the networks after the step; the loss terms of each discriminator, with
      '_aux' appended to the names of those of 'disc_aux').
    """
    nets, losses = dict(nets), {}
    for name in handed[0]:
      nets[name], terms = self.update(nets[name], *(x[name] for x in handed))
      suffix = name.removeprefix('disc')
      losses |= {f'{k}{suffix}': v for k, v in terms.items()}
    return nets, losses


def of(method: Any) -> Adversary:
  """Returns the discriminator of a method.

  Args:
    method: a `base.Method` with the fields `disc_width`, the first width of the
      discriminator (64 in all papers), and `disc_factor`, see `Adversary`.
  """
  module = discriminators.FcDiscriminator(
    width=method.disc_width, style=method.network.style
  )
  tx = optim_lib.disc_optimizer(method.optim, total_steps=method.total_steps)
  return Adversary(learner_lib.Learner(module, tx), method.disc_factor)


def align_maps(
  method: Any, full: Mapping[str, jax.Array], depth: str = 'depth'
) -> dict[str, jax.Array]:
  """Returns the discriminator's input in self-training for full-size outputs.

  Args:
    method: a `base.Method` with the field `adversarial`: 'advent',
      self-information; 'dada', self-information times depth (DADA, section
      3.2); 'none'.
    full: 'logits' [B, H, W, C] and, for 'dada', 'depth' [B, H, W] in inverse
      depth units.
    depth: name of the output that is these images' depth; 'depth' is used if
      there is no such output.

  Returns:
    {'disc': [B, H, W, C]}, or {} with 'none'.
  """
  if method.adversarial == 'none':
    return {}
  maps = entropy.self_information(full['logits'])
  if method.adversarial == 'dada':
    maps = maps * full.get(depth, full['depth'])[..., None]
  return {'disc': maps}


def align_passes(
  method: Any,
  nets: Mapping[str, state_lib.Net],
  target: Mapping[str, jax.Array],
) -> list[tuple[Any, ...]]:
  """Returns the pass that aligns unmixed target images; none if it is off.

  For `learner.run_passes`; it hands on what `align_maps` returns.

  Args:
    method: see `align_maps`; also with the field `lambda_adv`, the loss's
      weight.
    nets: networks by name, 'disc' among them if there is a pass.
    target: 'image' [B, H, W, 3] RGB in 0..255; other entries are ignored.
  """
  if method.adversarial == 'none':
    return []

  def loss(params, batch_stats, disc_params, target):
    full, stats = method.learner.run_on(params, batch_stats, target)
    maps = align_maps(method, full)
    fooled = method.adversary.fool(disc_params, maps['disc'])
    return {'loss_adv': (method.lambda_adv, fooled)}, stats, maps

  return [(loss, nets['disc'].params, target)]
