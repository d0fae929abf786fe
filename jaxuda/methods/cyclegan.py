"""CycleGAN: unpaired image translation between two domains.

Zhu, Park, Isola, Efros, ICCV 2017 (https://arxiv.org/abs/1703.10593). It has no
task network and is not evaluated. GIO-Ada's row cg trains on the source images
that its generator transforms, and so can any method, see `jaxuda.translate`.

The settings are those of the paper's text: least squares (section 4), lambda
10, halved discriminator losses, a pool of 50 images, Adam at 2e-4.
"""

import dataclasses
from typing import Any

import jax

from jaxuda.losses import translation
from jaxuda.methods import base
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.methods.parts import translator as translator_lib
from jaxuda.ops import image as image_ops
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.step import state as state_lib

# Generator, generator of the other direction, output domain, input domain.
_DIRECTIONS = (
  ('gen', 'gen_back', 'target', 'source'),
  ('gen_back', 'gen', 'source', 'target'),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """Generators 'gen' (source to target) and 'gen_back', and two discriminators.

  Attributes:
    num_classes: not used.
    network: only its dtype and rewrites are used.
    optim: only its fields for discriminators are used, for all four networks,
      and `gen_learning_rate`, the rate of the generators if it is not theirs.
    lambda_cycle: weight of the cycle losses, 10.
    lambda_identity: weight of the identity losses (a generator must leave an
      image of its output's domain as it is): 5 for the paper's paintings and by
      default in its code; 0, for other pairs, saves two passes.
    gan: 'least_squares', or 'cross_entropy'.
    gen_width, gen_blocks, gen_residual, disc_width: see `methods.gio_ada`.
    disc_factor: weight of a discriminator's loss, 1/2 in the paper.
    pool_size: number of past generated images that each discriminator is shown
      again.
  """

  optim: optim_lib.Options = translator_lib.ADAM
  lambda_cycle: float = 10.0
  lambda_identity: float = 0.0
  gan: translator_lib.Gan = 'least_squares'
  gen_width: int = 64
  gen_blocks: int = 9
  gen_residual: float = 0.0
  disc_width: int = 64
  disc_factor: float = 0.5
  pool_size: int = 50

  generator = property(translator_lib.generator_of)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Images of both domains."""
    return {'source': ('image',), 'target': ('image',)}

  @property
  def critic(self) -> translator_lib.Critic:
    """Either discriminator."""
    return translator_lib.critic_of(self, gan=self.gan)

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    keys = iter(jax.random.split(key, 4))
    nets = {}
    for name, _, domain, other in _DIRECTIONS:
      nets[name] = self.generator.create_for(next(keys), 3)
      size = example[other]['image'].shape[1:3]
      nets[f'disc_{domain}'] = self.critic.create(next(keys), 3, pooled=size)
    return state_lib.create(nets)

  def generator_loss(self, params, batch_stats, discs, images):
    """Runs the pass of eq. 3 for both generators, and of the identity losses.

    See `learner.run_passes`. `images` of both domains are [B, H, W, 3] in
    -1..1. It hands on the generated images by domain.
    """
    losses, made = {}, {}
    for there, back, domain, other in _DIRECTIONS:
      fake = self.generator.apply(params[there], images[other])
      returned = self.generator.apply(params[back], fake)
      adv = self.critic.fool(discs[f'disc_{domain}'], fake)
      cycle = translation.cycle_loss(images[other], returned)
      losses[f'loss_adv_{domain}'] = 1.0, adv
      losses[f'loss_cycle_{other}'] = self.lambda_cycle, cycle
      if self.lambda_identity:
        same = self.generator.apply(params[there], images[domain])
        identity = translation.cycle_loss(images[domain], same)
        losses[f'loss_identity_{domain}'] = self.lambda_identity, identity
      made[domain] = fake
    return losses, batch_stats, made

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`; all gradients use the old parameters."""
    nets = dict(state.nets)
    images = {k: image_ops.to_symmetric(v['image']) for k, v in batch.items()}
    params = {k: nets[k].params for k in ('gen', 'gen_back')}
    discs = {k: v.params for k, v in nets.items() if k not in params}
    grads, _, losses, (made,) = learner_lib.run_passes(
      params, {}, [(self.generator_loss, discs, images)]
    )
    for name, value in grads.items():
      nets[name] = self.generator.update(nets[name], value)
    for domain, fake in made.items():
      name = f'disc_{domain}'
      pool_key = jax.random.fold_in(rng.stream(key, name), state.step)
      disc, fake = self.critic.recall(pool_key, nets[name], fake)
      nets[name], losses[f'loss_d_{domain}'] = self.critic.update(
        disc, images[domain], fake, factor=self.disc_factor
      )
    return state.advance(nets), parallel.mean(losses)

  def translate(self, state: state_lib.TrainState, source: Any) -> jax.Array:
    """Returns the transformed source, float [B, H, W, 3] in 0..255.

    Args:
      state: a training state.
      source: 'image', [B, H, W, 3] in 0..255.
    """
    image = image_ops.to_symmetric(source['image'])
    made = self.generator.apply(state.nets['gen'].params, image)
    return image_ops.from_symmetric(made)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`."""
    del key
    shown = {}
    params = {k: state.nets[k].params for k in ('gen', 'gen_back')}
    for there, back, _, name in _DIRECTIONS:
      image = image_ops.to_symmetric(batch[name]['image'])
      made = self.generator.apply(params[there], image)
      returned = self.generator.apply(params[back], made)
      for heading, x in (('', image), (' there', made), (' back', returned)):
        shown[f'{name}{heading}'] = image_ops.from_symmetric(x)
    return {'image': shown}
