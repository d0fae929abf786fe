"""ADVENT, and AdaptSegNet's output-space alignment.

Vu, Jain, Bucher, Cord, Perez, CVPR 2019 (https://arxiv.org/abs/1811.12833):
AdvEnt aligns self-information maps by a discriminator (eqs. 4-8), MinEnt
minimises the target's entropy (eq. 3). Tsai et al., CVPR 2018
(https://arxiv.org/abs/1802.10349) align the softmax outputs themselves.

The class-ratio prior of the ADVENT paper is not in its code, nor here.
"""

import dataclasses

import jax
from jax import lax

from jaxuda import errors
from jaxuda.losses import adversarial
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.models import deeplab
from jaxuda.ops import entropy
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

_ALIGNMENTS = ('advent', 'minent', 'output')
# The network's output -> (suffix of the losses, its discriminator).
_LEVELS = {'logits': ('', 'disc'), 'aux': ('_aux', 'disc_aux')}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """AdvEnt, MinEnt and AdaptSegNet, single- and multi-level.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim: see their `Options`.
    align: 'advent': the discriminator sees self-information; 'output': it sees
      the softmax (AdaptSegNet); 'minent': no discriminator, entropy instead.
    multi_level: a second head on stage 3, aligned too. On in ADVENT's GTA
      configs, off where DADA compares with it (SYNTHIA).
    lambda_seg, lambda_seg_aux: weights of the cross entropies.
    lambda_adv, lambda_adv_aux: weights of the adversarial losses.
    lambda_ent, lambda_ent_aux: weights of MinEnt's entropies.
    disc_factor: weight of each discriminator term, 1/2 in the official code.
    statistics: which forward passes move the norms' running statistics, that
      is what the evaluated network normalises with. 'both': source, then
      target, as in the official code; the mean of two domains suits neither
      when they look very different. 'target': the target's alone, as AdaBN
      (Li et al., 2016).
    disc_width: first width of the discriminators, 64 in the papers.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options()
  align: str = 'advent'
  multi_level: bool = False
  lambda_seg: float = 1.0
  lambda_seg_aux: float = 0.1
  lambda_adv: float = 1e-3
  lambda_adv_aux: float = 2e-4
  lambda_ent: float = 1e-3
  lambda_ent_aux: float = 2e-4
  disc_factor: float = 0.5
  disc_width: int = 64
  statistics: str = 'both'

  def __post_init__(self):
    if self.align not in _ALIGNMENTS:
      raise errors.UserError(
        f'method.align={self.align!r}; expected one of {", ".join(_ALIGNMENTS)}'
      )
    adversarial.check_statistics(self.statistics)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source, target images alone."""
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

  @property
  def adversary(self) -> adversary_lib.Adversary:
    """The discriminators."""
    return adversary_lib.Adversary(
      network=self.network,
      optim=self.optim,
      total_steps=self.total_steps,
      width=self.disc_width,
      factor=self.disc_factor,
    )

  @property
  def task_tx(self):
    """The task network's optimizer."""
    return optim_lib.task_optimizer(
      self.optim, self.network, total_steps=self.total_steps
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    keys = jax.random.split(key, 1 + len(self.levels))
    image = example['source']['image'][:1]
    nets = {
      'task': state_lib.create_net(self.task.init(keys[0], image), self.task_tx)
    }
    if self.align != 'minent':
      for level, disc_key in zip(self.levels, keys[1:], strict=True):
        nets[_LEVELS[level][1]] = self.adversary.create(
          disc_key, self.num_classes
        )
    return state_lib.create(nets)

  def align_maps(self, logits: jax.Array) -> jax.Array:
    """What a discriminator sees of [B, H, W, C] logits."""
    if self.align == 'advent':
      return entropy.self_information(logits)
    return jax.nn.softmax(logits, axis=-1)

  def source_loss(self, params, batch_stats, source):
    """Supervised loss; returns the total and (terms, statistics, maps)."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, source['image'], train=True
    )
    weights = {'': self.lambda_seg, '_aux': self.lambda_seg_aux}
    total, terms, maps = 0.0, {}, {}
    for level in self.levels:
      suffix, name = _LEVELS[level]
      logits = resize.resize_align_corners(
        out[level], source['image'].shape[1:3]
      )
      loss = segmentation.cross_entropy(logits, source['label'])
      terms[f'loss_seg{suffix}'] = loss
      total = total + weights[suffix] * loss
      if self.align != 'minent':
        maps[name] = lax.stop_gradient(self.align_maps(logits))
    return total, (terms, stats, maps)

  def target_loss(self, params, batch_stats, disc_params, target):
    """Adversarial or entropy loss; returns as `source_loss` does."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, target['image'], train=True
    )
    adv = {'': self.lambda_adv, '_aux': self.lambda_adv_aux}
    ent = {'': self.lambda_ent, '_aux': self.lambda_ent_aux}
    total, terms, maps = 0.0, {}, {}
    for level in self.levels:
      suffix, name = _LEVELS[level]
      logits = resize.resize_align_corners(
        out[level], target['image'].shape[1:3]
      )
      if self.align == 'minent':
        loss = adversarial.entropy_loss(logits)
        terms[f'loss_ent{suffix}'] = loss
        total = total + ent[suffix] * loss
        continue
      level_maps = self.align_maps(logits)
      maps[name] = lax.stop_gradient(level_maps)
      loss = self.adversary.fool(disc_params[name], level_maps)
      terms[f'loss_adv{suffix}'] = loss
      total = total + adv[suffix] * loss
    return total, (terms, stats, maps)

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`; all gradients at the old parameters."""
    del key  # Nothing here is random.
    task = state.nets['task']
    discs = {k: v for k, v in state.nets.items() if k != 'task'}
    grads, (losses, stats, source_maps) = jax.grad(
      self.source_loss, has_aux=True
    )(task.params, task.batch_stats, batch['source'])
    if self.statistics == 'target':
      stats = task.batch_stats
    # The source's activations are gone before the target's are made.
    params, grads = lax.optimization_barrier((task.params, grads))
    disc_params = {name: disc.params for name, disc in discs.items()}
    target_grads, (terms, stats, target_maps) = jax.grad(
      self.target_loss, has_aux=True
    )(params, stats, disc_params, batch['target'])
    grads = jax.tree.map(lambda a, b: a + b, grads, target_grads)
    losses = losses | terms
    nets = {
      'task': state_lib.update(task, grads, self.task_tx, batch_stats=stats)
    }
    for name, disc in discs.items():
      nets[name], disc_terms = self.adversary.update(
        disc, source_maps[name], target_maps[name]
      )
      suffix = name.removeprefix('disc')
      losses |= {f'{k}{suffix}': v for k, v in disc_terms.items()}
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Evaluates the task network's main head; see `base.Method.predict`."""
    return deeplab.predict(self.task, state.nets['task'], image, size=size)
