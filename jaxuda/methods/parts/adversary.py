"""A domain discriminator with its optimizer, as all adversarial methods use."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxuda.losses import adversarial
from jaxuda.models import deeplab
from jaxuda.models import discriminators
from jaxuda.step import optim as optim_lib
from jaxuda.step import state as state_lib

Terms = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversary:
  """What tells the domains apart, and what fools it.

  Attributes:
    network, optim: see their `Options`; of the network, what it computes in.
    total_steps: length of the schedule.
    width: first width of the discriminator, 64 in all papers.
    factor: weight of each of its terms: 1 in DADA's and DepDis' code, 1/2 in
      AdaptSegNet's and ADVENT's.
  """

  network: deeplab.Options
  optim: optim_lib.Options
  total_steps: int
  width: int
  factor: float

  @property
  def module(self) -> discriminators.FcDiscriminator:
    """The architecture."""
    return discriminators.FcDiscriminator(
      width=self.width, **self.network.types
    )

  @property
  def tx(self):
    """Its optimizer."""
    return optim_lib.disc_optimizer(self.optim, total_steps=self.total_steps)

  def create(self, key: jax.Array, channels: int) -> state_lib.Net:
    """Returns a new discriminator of maps [B, H, W, channels]."""
    # 32 pixels a side survive five halvings; weights do not depend on it.
    maps = jnp.zeros((1, 32, 32, channels), self.network.types['dtype'])
    return state_lib.create_net(self.module.init(key, maps), self.tx)

  def judge(self, params: Any, maps: jax.Array) -> jax.Array:
    """Returns logits for maps [B, H, W, C], high for the target."""
    return self.module.apply({'params': params}, maps)

  def fool(self, params: Any, maps: jax.Array) -> jax.Array:
    """The loss that makes maps of the target look like the source's."""
    return adversarial.binary_cross_entropy(
      self.judge(params, maps), adversarial.SOURCE
    )

  def loss(
    self, params: Any, source_maps: jax.Array, target_maps: jax.Array
  ) -> tuple[jax.Array, Terms]:
    """What the discriminator minimises, and its two terms unweighted."""
    return adversarial.discriminator_loss(
      self.judge(params, source_maps),
      self.judge(params, target_maps),
      factor=self.factor,
    )

  def update(
    self, net: state_lib.Net, source_maps: jax.Array, target_maps: jax.Array
  ) -> tuple[state_lib.Net, Terms]:
    """One step of the discriminator; returns it and its terms."""
    return state_lib.minimize(
      net, lambda params: self.loss(params, source_maps, target_maps), self.tx
    )
