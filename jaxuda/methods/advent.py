"""ADVENT, and AdaptSegNet's output-space alignment.

Vu, Jain, Bucher, Cord, Perez, CVPR 2019 (https://arxiv.org/abs/1811.12833):
AdvEnt aligns self-information maps with a discriminator (eqs. 4-8), MinEnt
minimises the target's entropy (eq. 3). Tsai et al., CVPR 2018
(https://arxiv.org/abs/1802.10349) align the softmax outputs themselves.

The class-ratio prior of the ADVENT paper is neither in its code nor here.
"""

import dataclasses
from typing import Literal

import jax

from jaxuda.losses import adversarial
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.ops import entropy
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

# The network's output -> (suffix of the losses, its discriminator).
_LEVELS = {'logits': ('', 'disc'), 'aux': ('_aux', 'disc_aux')}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """AdvEnt, MinEnt and AdaptSegNet, single- and multi-level.

  Attributes:
    align: 'advent': the discriminator sees self-information; 'output': it sees
      the softmax (AdaptSegNet); 'minent': no discriminator, the entropy is
      minimised instead.
    multi_level: adds a second head on stage 3, which is also aligned. On in
      ADVENT's GTA configs, off where DADA compares with it (SYNTHIA).
    lambda_seg, lambda_seg_aux: weights of the cross entropies.
    lambda_adv, lambda_adv_aux: weights of the adversarial losses.
    lambda_ent, lambda_ent_aux: weights of MinEnt's entropies.
    disc_factor: weight of each discriminator term, 1/2 in the official code.
    disc_width: first width of the discriminators, 64 in the papers.
    statistics: which passes update the running statistics, 'both', as in the
      official code, or 'target', see `learner.run_passes`.
  """

  align: Literal['advent', 'minent', 'output'] = 'advent'
  multi_level: bool = False
  lambda_seg: float = 1.0
  lambda_seg_aux: float = 0.1
  lambda_adv: float = 1e-3
  lambda_adv_aux: float = 2e-4
  lambda_ent: float = 1e-3
  lambda_ent_aux: float = 2e-4
  disc_factor: float = 0.5
  disc_width: int = 64
  statistics: learner_lib.Statistics = 'both'

  adversary = property(adversary_lib.of)
  predict = base.predict_task

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source images; target images without labels."""
    return {'source': ('image', 'label'), 'target': ('image',)}

  @property
  def levels(self) -> tuple[str, ...]:
    """The outputs that are supervised and aligned."""
    return ('logits', 'aux') if self.multi_level else ('logits',)

  @property
  def task(self) -> deeplab.DeepLab:
    """The task network."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      multi_level=self.multi_level,
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    keys = jax.random.split(key, 1 + len(self.levels))
    image = example['source']['image'][:1]
    nets = {'task': self.learner.create(keys[0], image)}
    if self.align != 'minent':
      for level, disc_key in zip(self.levels, keys[1:], strict=True):
        nets[_LEVELS[level][1]] = self.adversary.create(
          disc_key, self.num_classes
        )
    return state_lib.create(nets)

  def align_maps(self, logits: jax.Array) -> jax.Array:
    """Returns a discriminator's input for logits, both [B, H, W, C]."""
    if self.align == 'advent':
      return entropy.self_information(logits)
    return jax.nn.softmax(logits, axis=-1)

  def source_loss(self, params, batch_stats, source):
    """Runs the supervised pass, see `learner.run_passes`."""
    full, stats = self.learner.run_on(params, batch_stats, source)
    weights = {'logits': self.lambda_seg, 'aux': self.lambda_seg_aux}
    losses, maps = {}, {}
    for level in self.levels:
      suffix, disc = _LEVELS[level]
      loss = segmentation.cross_entropy(
        full[level], source['label'], axis=self.axis
      )
      losses[f'loss_seg{suffix}'] = weights[level], loss
      if self.align != 'minent':
        maps[disc] = self.align_maps(full[level])
    return losses, stats, maps

  def target_loss(self, params, batch_stats, disc_params, target):
    """Runs the adversarial or entropy pass, see `learner.run_passes`."""
    full, stats = self.learner.run_on(params, batch_stats, target)
    adv = {'logits': self.lambda_adv, 'aux': self.lambda_adv_aux}
    ent = {'logits': self.lambda_ent, 'aux': self.lambda_ent_aux}
    losses, maps = {}, {}
    for level in self.levels:
      suffix, disc = _LEVELS[level]
      if self.align == 'minent':
        loss = adversarial.entropy_loss(full[level])
        losses[f'loss_ent{suffix}'] = ent[level], loss
      else:
        maps[disc] = self.align_maps(full[level])
        loss = self.adversary.fool(disc_params[disc], maps[disc])
        losses[f'loss_adv{suffix}'] = adv[level], loss
    return losses, stats, maps

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`; all gradients use the old parameters."""
    nets = dict(state.nets)
    discs = {name: nets[name].params for name in nets if name != 'task'}
    passes = (
      (self.source_loss, batch['source']),
      (self.target_loss, discs, batch['target']),
    )
    nets['task'], losses, maps = self.learner.train(
      nets['task'],
      passes,
      statistics=self.statistics,
      noise=self.noise(state, key),
    )
    nets, terms = self.adversary.update_each(nets, maps)
    return state.advance(nets), parallel.mean(losses | terms)
