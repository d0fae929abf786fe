"""Generators and discriminators with their optimizer."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxuda.losses import translation
from jaxuda.models import deeplab
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

# The 70x70 PatchGAN; AdaptSegNet's, without norms; and of that the first two
# convolutions and the last, which sees 22x22 pixels: for small images.
DISCRIMINATORS = ('patch', 'strided', 'local')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translator:
  """What makes images of another domain, and what tells them apart.

  Attributes:
    network, optim: see their `Options`; of the network, what it computes in.
    total_steps: length of the schedule.
    gen_width, gen_blocks, gen_residual: see `models.generators.Generator`.
    disc_width: first width of the discriminators.
    gan: adversarial loss, see `losses.translation`.
    pool_size: images that a discriminator is shown again; 0 for none.
  """

  network: deeplab.Options
  optim: optim_lib.Options
  total_steps: int
  gen_width: int
  gen_blocks: int
  disc_width: int
  gan: str = 'cross_entropy'
  pool_size: int = 0
  gen_residual: float = 0.0

  @property
  def generator(self) -> generators.Generator:
    """The architecture of a generator."""
    return generators.Generator(
      width=self.gen_width,
      blocks=self.gen_blocks,
      residual=self.gen_residual,
      rewrites=self.network.rewrites,
      **self.network.types,
    )

  def discriminator(self, disc: str = 'patch') -> Any:
    """The architecture of a discriminator, one of DISCRIMINATORS."""
    fields = {'width': self.disc_width, **self.network.types}
    if disc == 'patch':
      return discriminators.PatchDiscriminator(**fields)
    return discriminators.FcDiscriminator(
      depth=3 if disc == 'local' else 5, **fields
    )

  @property
  def tx(self):
    """The optimizer of every discriminator."""
    return optim_lib.disc_optimizer(self.optim, total_steps=self.total_steps)

  @property
  def gen_tx(self):
    """The optimizer of every generator."""
    return optim_lib.gen_optimizer(self.optim, total_steps=self.total_steps)

  def create_generator(
    self, key: jax.Array, channels: int, *, trained: bool = True
  ) -> state_lib.Net:
    """Returns a new generator of maps [B, H, W, channels]."""
    # Weights do not depend on the size, and small maps are quicker to trace.
    maps = jnp.zeros((1, 16, 16, channels), self.network.types['dtype'])
    tx = self.gen_tx if trained else None
    return state_lib.create_net(self.generator.init(key, maps), tx)

  def create_discriminator(
    self,
    key: jax.Array,
    channels: int,
    *,
    disc: str = 'patch',
    pooled: Any = None,
  ) -> state_lib.Net:
    """Returns a new discriminator of maps [B, H, W, channels].

    Args:
      key: typed key.
      channels: of its input.
      disc: see `discriminator`.
      pooled: (height, width) of the images that its pool holds, which is kept
        where other networks have running statistics; None for no pool.
    """
    maps = jnp.zeros((1, 32, 32, channels), self.network.types['dtype'])
    module = self.discriminator(disc)
    net = state_lib.create_net(module.init(key, maps), self.tx)
    if not self.pool_size or pooled is None:
      return net
    image = jnp.zeros((*pooled, channels), self.network.types['param_dtype'])
    return net.replace(batch_stats=image_pool.empty(self.pool_size, image))

  def translate(self, params: Any, maps: jax.Array) -> jax.Array:
    """Returns images [B, H, W, 3] in -1..1 of maps [B, H, W, channels]."""
    return self.generator.apply({'params': params}, maps)

  def judge(
    self, params: Any, maps: jax.Array, *, disc: str = 'patch'
  ) -> jax.Array:
    """A discriminator's logits for maps, high for what is real."""
    return self.discriminator(disc).apply({'params': params}, maps)

  def fool(
    self,
    params: Any,
    maps: jax.Array,
    *,
    value: float = translation.REAL,
    disc: str = 'patch',
  ) -> jax.Array:
    """The loss that makes a discriminator take maps for what they are not."""
    logits = self.judge(params, maps, disc=disc)
    return translation.judge_as(logits, value, kind=self.gan)

  def loss(
    self,
    params: Any,
    real: jax.Array,
    fake: jax.Array,
    *,
    disc: str = 'patch',
  ) -> jax.Array:
    """What a discriminator minimises: its losses on real and fake, summed."""
    return translation.discriminator_loss(
      *(self.judge(params, maps, disc=disc) for maps in (real, fake)),
      kind=self.gan,
    )

  def update(
    self,
    net: state_lib.Net,
    real: jax.Array,
    fake: jax.Array,
    *,
    disc: str = 'patch',
    factor: float = 1.0,
  ) -> tuple[state_lib.Net, jax.Array]:
    """One step of a discriminator; returns it and its loss before `factor`."""

    def loss(params):
      value = self.loss(params, real, fake, disc=disc)
      return factor * value, value

    return state_lib.minimize(net, loss, self.tx)

  def recall(
    self, key: jax.Array, net: state_lib.Net, images: jax.Array
  ) -> tuple[state_lib.Net, jax.Array]:
    """Exchanges images with a discriminator's pool, if it has one.

    Inside a mapped step only.

    Args:
      key: the same on every device.
      net: the discriminator.
      images: this device's, [B, H, W, C].

    Returns:
      (the discriminator with its pool after, what it is to be shown).
    """
    if not self.pool_size:
      return net, images
    pool, images = image_pool.exchange_over_devices(
      key, net.batch_stats, images, axis=parallel.AXIS
    )
    return net.replace(batch_stats=pool), images
