"""Image translation: generators, and the critics of their images."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxuda.losses import translation
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import discriminators
from jaxuda.models import generators
from jaxuda.ops import image_pool
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

# CycleGAN's: constant for half of the steps, then linearly to 0.
ADAM = optim_lib.Options(
  name='adamw',
  learning_rate=2e-4,
  betas=(0.5, 0.999),
  weight_decay=0.0,
  head_multiplier=1.0,
  repeats='plain',
  power=1.0,
  hold=0.5,
  disc_learning_rate=2e-4,
  disc_betas=(0.5, 0.999),
)

# The 70x70 PatchGAN; AdaptSegNet's, without norms; and only the first two and
# the last of its convolutions, which see 22x22 pixels: for small images.
Architecture = Literal['patch', 'strided', 'local']
Gan = Literal['cross_entropy', 'least_squares']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Critic:
  """A discriminator that tells real maps from generated ones.

  Attributes:
    learner: network and optimizer; its logits are high for real maps.
    gan: kind of loss, see `losses.translation`.
    pool_size: number of past generated images that it is shown again; 0 for
      none.
  """

  learner: learner_lib.Learner
  gan: Gan
  pool_size: int

  def create(
    self,
    key: jax.Array,
    channels: int,
    *,
    pooled: tuple[int, int] | None = None,
  ) -> state_lib.Net:
    """Returns a new discriminator for maps [B, H, W, channels].

    Args:
      key: typed key.
      channels: number of channels of its input.
      pooled: (height, width) of the images in its pool, which is kept where
        other networks have running statistics; None for no pool. The images are
        generated ones, hence in -1..1. They are stored in 16 bits: one that the
        discriminator is shown again is rounded by at most 1/65534.
    """
    net = self.learner.create_for(key, channels)
    if not self.pool_size or pooled is None:
      return net
    image = jnp.zeros((*pooled, channels), jnp.int16)
    return net.replace(batch_stats=image_pool.empty(self.pool_size, image))

  def fool(
    self, params: Any, maps: jax.Array, *, value: float = translation.REAL
  ) -> jax.Array:
    """Returns the loss for making the discriminator say `value` of maps."""
    logits = self.learner.apply(params, maps)
    return translation.judge_as(logits, value, kind=self.gan)

  def loss(self, params: Any, real: jax.Array, fake: jax.Array) -> jax.Array:
    """Returns the sum of the discriminator's losses on real and fake."""
    logits = (self.learner.apply(params, maps) for maps in (real, fake))
    return translation.discriminator_loss(*logits, kind=self.gan)

  def update(
    self,
    net: state_lib.Net,
    real: jax.Array,
    fake: jax.Array,
    *,
    factor: float = 1.0,
  ) -> tuple[state_lib.Net, jax.Array]:
    """Takes one step on factor * loss; returns the network and the loss."""

    def loss(params):
      value = self.loss(params, real, fake)
      return factor * value, value

    return state_lib.minimize(net, loss, self.learner.tx)

  def recall(
    self, key: jax.Array, net: state_lib.Net, images: jax.Array
  ) -> tuple[state_lib.Net, jax.Array]:
    """Exchanges images with the discriminator's pool, if it has one.

    It may only be called inside a mapped step.

    Args:
      key: random key, the same on every device.
      net: the discriminator.
      images: this device's images, [B, H, W, C].

    Returns:
      (the discriminator with its new pool, the images to show it).
    """
    if not self.pool_size:
      return net, images
    pool, images = image_pool.exchange_over_devices(
      key, net.batch_stats, images, axis=parallel.AXIS
    )
    return net.replace(batch_stats=pool), images


def critic_of(
  method: Any,
  *,
  architecture: Architecture = 'patch',
  gan: Gan = 'cross_entropy',
) -> Critic:
  """Returns a discriminator of a method.

  Args:
    method: a `base.Method` with the fields `disc_width`, the first width of the
      discriminator, and `pool_size`.
    architecture: one of `Architecture`.
    gan: kind of loss, see `Critic`.
  """
  fields = {'width': method.disc_width, 'style': method.network.style}
  if architecture == 'patch':
    module = discriminators.PatchDiscriminator(**fields)
  else:
    depth = 3 if architecture == 'local' else 5
    module = discriminators.FcDiscriminator(depth=depth, **fields)
  tx = optim_lib.disc_optimizer(method.optim, total_steps=method.total_steps)
  learner = learner_lib.Learner(module, tx)
  return Critic(learner=learner, gan=gan, pool_size=method.pool_size)


def generator_of(method: Any) -> learner_lib.Learner:
  """Returns a method's generator, from maps to images [B, H, W, 3] in -1..1.

  Args:
    method: a `base.Method` with the fields `gen_width`, `gen_blocks` and
      `gen_residual`, see `models.generators.Generator`.
  """
  module = generators.Generator(
    width=method.gen_width,
    blocks=method.gen_blocks,
    residual=method.gen_residual,
    style=method.network.style,
  )
  tx = optim_lib.gen_optimizer(method.optim, total_steps=method.total_steps)
  return learner_lib.Learner(module, tx)
