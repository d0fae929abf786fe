"""CorDA: adaptation with self-supervised depth in both domains.

Wang, Dai, Hoyer, Van Gool and Fink, ICCV 2021
(https://arxiv.org/abs/2104.13613). On top of DACS and the source's cross
entropy (eq. 1), depth is regressed in both domains (eqs. 2-5), the tasks
exchange features by attention (eqs. 6 and 7), and the disagreement between the
two domains' depth decoders tells how hard a pixel is to adapt (eq. 9).

The default follows the official code, which produced the published numbers:
losses are means (paper: sums), the target's losses are computed on mixed
images, the depth of pasted source pixels trains the source's decoder with the
target's weight, and the difficulty comes from the student on the mixed image
and is averaged over the batch (`difficulty`). Depth is compared as
655.36 / (m + 0.01).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import features as feature_losses
from jaxuda.losses import multitask
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import recipe
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import hrda
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import difficulty as difficulty_ops
from jaxuda.ops import masking as masking_ops
from jaxuda.ops import mixing as mixing_ops
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """CorDA and the rows of its ablation.

  Attributes:
    mixing: self-training on mixed images, see `mixing.Options`.
    masking: losses on masked target images (MIC), see `masking.Options`; off by
      default.
    features: distance to the initial network's features (DAFormer), see
      `losses.features.Options`; off by default.
    structure, initial_semantic, width: fields of the network, see
      `models.corda`.
    lambda_seg: weight of the source cross entropies.
    lambda_depth: weight of the source berHu losses (eq. 8's alpha_S).
    lambda_mixed: weight of the cross entropies on mixed images.
    lambda_mixed_depth: weight of the berHu losses on them (alpha_T).
    average_all: divide the source's cross entropy by the number of all pixels,
      as DAFormer does, not of the labelled ones alone.
    difficulty: 'batch_mean', 'per_image', 'paper' or 'none', see
      `ops.difficulty`. 'paper' compares the decoders on the target image, as in
      eq. 9; they are the teacher's, which sees that image anyway.
    difficulty_floor: smallest agreement, 1e-3 in the official code; not used by
      'paper'.
    initial_steps: number of steps during which the teacher first labels with
      its initial head: 25,001 in the official GTA code, 0 for SYNTHIA.
    initial_fraction: that number as a share of `total_steps` (0.1 in the
      paper); used if `initial_steps` is 0.
    adversarial: also align the outputs on unmixed target images, which takes
      one more pass: 'advent' (self-information), 'dada' (times depth) or
      'none'. The paper suggests it; no published number uses it.
    lambda_adv, disc_factor, disc_width: see `methods.dada`.
    evaluate: 'student', as for all published numbers, or 'teacher'.
  """

  network: deeplab.Options = deeplab.Options(active_rates=2)
  mixing: mixing_ops.Options = mixing_ops.Options(alpha=0.999)
  masking: masking_ops.Options = masking_ops.Options()
  features: feature_losses.Options = feature_losses.Options()
  structure: Literal['full', 'no_attention', 'simple_aux'] = 'full'
  initial_semantic: Literal['bottleneck', 'backbone'] = 'bottleneck'
  width: int = 256
  lambda_seg: float = 1.0
  lambda_depth: float = 0.01
  lambda_mixed: float = 1.0
  lambda_mixed_depth: float = 0.001
  average_all: bool = False
  difficulty: Literal['per_image', 'batch_mean', 'paper', 'none'] = 'batch_mean'
  difficulty_floor: float = 1e-3
  initial_steps: int = 0
  initial_fraction: float = 0.0
  adversarial: Literal['none', 'advent', 'dada'] = 'none'
  lambda_adv: float = 1e-3
  disc_factor: float = 1.0
  disc_width: int = 64
  evaluate: Literal['student', 'teacher'] = 'student'

  adversary = property(adversary_lib.of)
  two_resolutions = True
  predict = base.predict_task
  train_step = recipe.train_step

  def __post_init__(self):
    super().__post_init__()
    if self.structure != 'full' and (
      self.difficulty != 'none' or self.initial_until
    ):
      raise errors.UserError(
        f'method.structure={self.structure!r} has one depth decoder and no'
        ' initial heads; expected difficulty=none, initial_steps=0 and'
        ' initial_fraction=0 with it'
      )

  @property
  def initial_until(self) -> int:
    """The first step at which the teacher labels with its final head."""
    return self.initial_steps or round(self.initial_fraction * self.total_steps)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source with depth; target images with (pseudo) depth.

    The target's labels are added for the oracle's weights.
    """
    target = ('image', 'depth', *self.mixing.target_fields)
    return {'source': ('image', 'label', 'depth'), 'target': target}

  @property
  def task(self) -> corda.CorDA | hrda.Hrda:
    """The task network."""
    network = corda.CorDA(
      classes=self.num_classes,
      options=self.network,
      structure=self.structure,
      initial_semantic=self.initial_semantic,
      width=self.width,
    )
    return hrda.wrap(network)

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, disc_key = jax.random.split(key)
    image = example['source']['image'][:1]
    task = self.learner.create(task_key, image)
    nets = recipe.begin(task, self)
    if self.adversarial != 'none':
      nets['disc'] = self.adversary.create(disc_key, self.num_classes)
    return state_lib.create(nets, teacher=task.replace(opt_state=()))

  def mix(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], object]:
    """Labels the target and mixes it with the source.

    Returns:
      (the mixed batch with inverse depth; the target with its pseudo-labels,
      their weights and inverse depth; the teacher's running statistics).
    """
    source, target = (
      {**batch[k], 'depth': depth_ops.invert_depth(batch[k]['depth'])}
      for k in ('source', 'target')
    )
    teacher = state.teacher
    full, stats = self.learner.run(
      teacher.params, teacher.batch_stats, target['image']
    )
    logits = full['logits']
    if self.initial_until:
      first = state.step < self.initial_until
      logits = jnp.where(first, full['initial_logits'], logits)
    target['label'], target['weight'] = mixing_ops.label_target(
      logits,
      step=state.step,
      options=self.mixing,
      truth=target.get('label'),
      place=target.pop('place', None),
      axis=parallel.AXIS,
    )
    source['weight'] = jnp.ones_like(target['weight'])
    if self.difficulty == 'paper':
      target['agreement'] = difficulty_ops.depth_agreement(
        full['depth_source'],
        full['depth'],
        target['depth'],
        valid=target['depth_valid'],
        floor=0.0,
      )
      source['agreement'] = jnp.ones_like(target['agreement'])
    mixed = mixing_ops.mix(
      jax.random.fold_in(key, state.step),
      source,
      target,
      classes=self.num_classes,
      options=self.mixing,
      axis=parallel.AXIS,
    )
    return mixed, target, stats

  def source_loss(self, params, batch_stats, source):
    """Runs the supervised pass, see `learner.run_passes`."""
    full, stats = self.learner.run_on(
      params, batch_stats, source, features='anchor' in source
    )
    inverse = depth_ops.invert_depth(source['depth'])
    terms = multitask.source_terms(
      full,
      {**source, 'depth': inverse},
      average_all=self.average_all,
      detail_weight=self.network.detail_weight,
      axis=self.axis,
    )
    maps = adversary_lib.align_maps(self, full, 'depth_source')
    losses = self.add_weights(terms) | recipe.feature_loss(self, full, source)
    return losses, stats, maps

  def add_weights(self, terms):
    """Pairs losses with weights; initial heads share the final heads'."""
    weights = {
      'loss_seg': self.lambda_seg,
      'loss_depth': self.lambda_depth,
      'loss_mixed': self.lambda_mixed,
      'loss_mixed_depth': self.lambda_mixed_depth,
    }
    return {k: (weights[k.removesuffix('_initial')], terms[k]) for k in terms}

  def weigh(self, full, mixed):
    """Returns the weight of every pixel of mixed images (eq. 9)."""
    agreement = mixed.get('agreement')
    if self.difficulty in ('batch_mean', 'per_image'):
      agreement = difficulty_ops.depth_agreement(
        full['depth_source'],
        full['depth'],
        mixed['depth'],
        valid=mixed['depth_valid'],
        floor=self.difficulty_floor,
      )
    return difficulty_ops.apply_difficulty(
      mixed['weight'], agreement, mode=self.difficulty, axis=parallel.AXIS
    )

  def mixed_loss(self, params, batch_stats, mixed):
    """Runs the pass on mixed images, see `learner.run_passes`."""
    full, stats = self.learner.run_on(params, batch_stats, mixed)
    weight = self.weigh(full, mixed)
    return self.add_weights(self.mixed_terms(full, mixed, weight)), stats, None

  def mixed_terms(self, full, mixed, weight):
    """Returns the losses on mixed or masked images."""
    return multitask.mixed_terms(
      full,
      mixed,
      weight=weight,
      detail_weight=self.network.detail_weight,
      axis=self.axis,
    )

  def masked_loss(self, params, batch_stats, masked):
    """Runs the pass on masked target images, see `learner.run_passes`.

    The losses are those on mixed images, with the teacher's weights: where
    blocks are missing, the depth decoders cannot tell how hard a pixel is.
    """
    full, stats = self.learner.run_on(params, batch_stats, masked)
    terms = self.mixed_terms(full, masked, masked['weight'])
    return self.add_weights(terms), stats, None

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`."""
    mixed, _, _ = self.mix(state, batch, key)
    task = state.nets['task']
    full, _ = self.learner.run(task.params, task.batch_stats, mixed['image'])
    depth = {'mixed depth': mixed['depth'], 'target decoder': full['depth']}
    share = {'weight': mixed['weight']}
    if self.structure == 'full':
      depth['source decoder'] = full['depth_source']
      share |= {'attention': full['attention']}
    if self.difficulty != 'none':
      share |= {'with difficulty': self.weigh(full, mixed)}
    return {
      'image': {'mixed image': mixed['image']},
      'label': {'mixed label': mixed['label']},
      'depth': {k: depth_ops.restore_depth(v) for k, v in depth.items()},
      'share': share,
    }
