"""CycleGAN: image translation between two domains without pairs.

Zhu, Park, Isola, Efros, ICCV 2017 (https://arxiv.org/abs/1703.10593). It has no
task network and is not evaluated: GIO-Ada's row cg trains on what its generator
makes of the source, and so can any method, see `jaxuda.translate`.

Settings are those of the paper's text: least squares (section 4), lambda 10,
halved discriminator losses, a pool of 50 images, Adam at 2e-4.
"""

import dataclasses
from typing import Any

import jax
from jax import lax

from jaxuda.losses import translation
from jaxuda.methods import base
from jaxuda.methods.parts import translator as translator_lib
from jaxuda.models import deeplab
from jaxuda.ops import image as image_ops
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """Generators 'gen' (source to target) and 'gen_back', a discriminator each.

  Attributes:
    num_classes: not used.
    total_steps: length of the schedules.
    network: what the networks compute in; the rest of it is not used.
    optim: its fields for discriminators count, for all four networks.
    lambda_cycle: weight of the cycle losses, 10.
    lambda_identity: weight of the identity losses (an image that is of the
      target stays as it is): 5 for the paper's paintings, and its code's
      default; 0, for other pairs, spares two passes.
    gan: 'least_squares', or 'cross_entropy'.
    gen_width, gen_blocks, gen_residual, disc_width: see `methods.gio_ada`.
    disc_factor: weight of each term of a discriminator, 1/2.
    pool_size: images that each discriminator is shown again; 0 for none.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = translator_lib.ADAM
  lambda_cycle: float = 10.0
  lambda_identity: float = 0.0
  gan: str = 'least_squares'
  gen_width: int = 64
  gen_blocks: int = 9
  gen_residual: float = 0.0
  disc_width: int = 64
  disc_factor: float = 0.5
  pool_size: int = 50

  def __post_init__(self):
    translation.check_kind(self.gan)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Images of both domains."""
    return {'source': ('image',), 'target': ('image',)}

  @property
  def translator(self) -> translator_lib.Translator:
    """All four networks."""
    return translator_lib.Translator(
      network=self.network,
      optim=self.optim,
      total_steps=self.total_steps,
      gen_width=self.gen_width,
      gen_blocks=self.gen_blocks,
      gen_residual=self.gen_residual,
      disc_width=self.disc_width,
      gan=self.gan,
      pool_size=self.pool_size,
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    keys = jax.random.split(key, 4)
    nets = {}
    for i, (name, domain) in enumerate(
      (('gen', 'target'), ('gen_back', 'source'))
    ):
      size = example['source' if domain == 'target' else 'target'][
        'image'
      ].shape
      nets[name] = self.translator.create_generator(keys[2 * i], 3)
      nets[f'disc_{domain}'] = self.translator.create_discriminator(
        keys[2 * i + 1], 3, pooled=size[1:3]
      )
    return state_lib.create(nets)

  def generator_loss(self, params, discs, images):
    """Eq. 3 for both generators, and the identity losses.

    Args:
      params: of 'gen' and 'gen_back'.
      discs: parameters of 'disc_source' and 'disc_target'.
      images: 'source' and 'target', [B, H, W, 3] in -1..1.

    Returns:
      (total, (terms, made images by domain)).
    """
    total, terms, made = 0.0, {}, {}
    for there, back, domain, other in (
      ('gen', 'gen_back', 'target', 'source'),
      ('gen_back', 'gen', 'source', 'target'),
    ):
      fake = self.translator.translate(params[there], images[other])
      returned = self.translator.translate(params[back], fake)
      adv = self.translator.fool(discs[f'disc_{domain}'], fake)
      cycle = translation.cycle_loss(images[other], returned)
      terms |= {f'loss_adv_{domain}': adv, f'loss_cycle_{other}': cycle}
      total = total + adv + self.lambda_cycle * cycle
      if self.lambda_identity:
        same = self.translator.translate(params[there], images[domain])
        identity = translation.cycle_loss(images[domain], same)
        terms[f'loss_identity_{domain}'] = identity
        total = total + self.lambda_identity * identity
      made[domain] = lax.stop_gradient(fake)
    return total, (terms, made)

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`; all gradients at the old parameters."""
    nets = dict(state.nets)
    images = {k: image_ops.to_symmetric(v['image']) for k, v in batch.items()}
    params = {k: nets[k].params for k in ('gen', 'gen_back')}
    discs = {k: v.params for k, v in nets.items() if k not in params}
    grads, (losses, made) = jax.grad(self.generator_loss, has_aux=True)(
      params, discs, images
    )
    for name, value in grads.items():
      nets[name] = state_lib.update(nets[name], value, self.translator.gen_tx)
    for domain, fake in made.items():
      name = f'disc_{domain}'
      pool_key = jax.random.fold_in(rng.stream(key, name), state.step)
      disc, fake = self.translator.recall(pool_key, nets[name], fake)
      nets[name], losses[f'loss_d_{domain}'] = self.translator.update(
        disc, images[domain], fake, factor=self.disc_factor
      )
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def translate(self, state: state_lib.TrainState, source: Any) -> jax.Array:
    """Returns the transformed source, float [B, H, W, 3] in 0..255.

    Args:
      state: a training state.
      source: 'image', [B, H, W, 3] in 0..255.
    """
    image = image_ops.to_symmetric(source['image'])
    made = self.translator.translate(state.nets['gen'].params, image)
    return image_ops.from_symmetric(made)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`."""
    del key
    shown = {}
    for name, (first, second) in {
      'source': ('gen', 'gen_back'),
      'target': ('gen_back', 'gen'),
    }.items():
      image = image_ops.to_symmetric(batch[name]['image'])
      there, back = (state.nets[k].params for k in (first, second))
      made = self.translator.translate(there, image)
      returned = self.translator.translate(back, made)
      for heading, x in (('', image), (' there', made), (' back', returned)):
        shown[f'{name}{heading}'] = image_ops.from_symmetric(x)
    return {'image': shown}
