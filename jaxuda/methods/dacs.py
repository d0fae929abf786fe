"""DACS: Domain Adaptation via Cross-domain mixed Sampling.

Tranheden, Olsson, Pinto and Svensson, WACV 2021
(https://arxiv.org/abs/2007.08702). The teacher, a moving average of the
student, labels target images; half the classes of a source image are pasted
onto each of them; the student learns from the source and from these mixed
images.

The default follows the official code, which produced the published numbers: the
teacher averages only parameters and normalises with its own batch statistics,
pseudo-labels are not filtered but weighted by the batch's share of confident
pixels, and only two of the ASPP's four rates are active
(`network.active_rates=2`).

DADA's depth (Vu et al., ICCV 2019; see `methods.dada`) can be added: a depth
block learns from the source, features are fused with what it decodes, and
outputs on unmixed target images are aligned by a discriminator. This
combination is this project's own, appears in no paper, and is off by default.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import features as feature_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import recipe
from jaxuda.models import deeplab
from jaxuda.models import hrda
from jaxuda.ops import masking as masking_ops
from jaxuda.ops import mixing as mixing_ops
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """DACS, optionally with DADA's depth.

  Attributes:
    mixing: self-training on mixed images, see `mixing.Options`.
    masking: loss on masked target images (MIC), see `masking.Options`; off by
      default.
    features: distance to the initial network's features (DAFormer), see
      `losses.features.Options`; off by default.
    lambda_seg: weight of the source cross entropy.
    lambda_mixed: weight of the cross entropy on mixed images.
    average_all: divide the source's cross entropy by the number of all pixels,
      as DAFormer does, not of the labelled ones alone.
    lambda_depth: weight of the source's berHu loss (DADA's eqs. 2 and 3); 0
      builds no depth block.
    fuse: multiply the features by what the depth block decodes.
    adversarial: also align the outputs on unmixed target images, which takes
      one more pass: 'advent' (self-information), 'dada' (times depth) or
      'none'.
    lambda_adv, disc_factor, disc_width: see `methods.dada`.
    evaluate: 'student', as for all published numbers, or 'teacher', whose
      running statistics are those of the target images alone.
  """

  network: deeplab.Options = deeplab.Options(active_rates=2)
  mixing: mixing_ops.Options = mixing_ops.Options()
  masking: masking_ops.Options = masking_ops.Options()
  features: feature_losses.Options = feature_losses.Options()
  lambda_seg: float = 1.0
  lambda_mixed: float = 1.0
  average_all: bool = False
  lambda_depth: float = 0.0
  fuse: bool = False
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
    if not self.lambda_depth and (self.fuse or self.adversarial == 'dada'):
      raise errors.UserError(
        'method.lambda_depth=0 builds no depth output; expected fuse=False and'
        f' adversarial=none or advent with it, got fuse={self.fuse},'
        f' adversarial={self.adversarial}'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source, with depth if it is regressed; target images.

    The target's labels are added for the oracle's weights.
    """
    depth = ('depth',) if self.lambda_depth else ()
    target = ('image', *self.mixing.target_fields)
    return {'source': ('image', 'label', *depth), 'target': target}

  @property
  def task(self) -> deeplab.DeepLab | hrda.Hrda:
    """The task network."""
    network = deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      fuse=self.fuse,
    )
    return hrda.wrap(network)

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    image = example['source']['image'][:1]
    task = self.learner.create(key, image)
    nets = recipe.begin(task, self)
    if self.adversarial != 'none':
      disc_key = jax.random.fold_in(key, 1)
      nets['disc'] = self.adversary.create(disc_key, self.num_classes)
    return state_lib.create(nets, teacher=task.replace(opt_state=()))

  def mix(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array], object]:
    """Labels the target and mixes it with the source.

    Returns:
      (the mixed batch; the target with its pseudo-labels and their weights; the
      teacher's running statistics).
    """
    source, image = batch['source'], batch['target']['image']
    teacher = state.teacher
    out, stats = self.learner.run(teacher.params, teacher.batch_stats, image)
    label, weight = mixing_ops.label_target(
      out['logits'],
      step=state.step,
      options=self.mixing,
      truth=batch['target'].get('label'),
      place=batch['target'].get('place'),
      axis=parallel.AXIS,
    )
    target = {'image': image, 'label': label, 'weight': weight}
    mixed = mixing_ops.mix(
      jax.random.fold_in(key, state.step),
      {**source, 'weight': jnp.ones_like(weight)},
      target,
      classes=self.num_classes,
      options=self.mixing,
      axis=parallel.AXIS,
    )
    return mixed, target, stats

  def source_loss(self, params, batch_stats, source):
    """Runs the supervised pass, see `learner.run_passes`."""
    out, stats = self.learner.run_on(
      params, batch_stats, source, features='anchor' in source
    )
    loss = self.compare(
      functools.partial(
        segmentation.cross_entropy,
        average_all=self.average_all,
        axis=self.axis,
      ),
      *(out, source['label']),
    )
    losses = {'loss_seg': (self.lambda_seg, loss)}
    losses |= self.depth_terms(out, source)
    losses |= recipe.feature_loss(self, out, source)
    return losses, stats, adversary_lib.align_maps(self, out)

  def mixed_loss(self, params, batch_stats, mixed):
    """Runs the pass on mixed images, see `learner.run_passes`."""
    out, stats = self.learner.run_on(params, batch_stats, mixed)
    loss = self.compare(
      segmentation.weighted_cross_entropy,
      *(out, mixed['label'], mixed['weight']),
    )
    return {'loss_mixed': (self.lambda_mixed, loss)}, stats, None

  # Masked target images have the same fields as mixed images.
  masked_loss = mixed_loss

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`."""
    mixed, _, _ = self.mix(state, batch, key)
    return {
      'image': {'mixed image': mixed['image']},
      'label': {'mixed label': mixed['label']},
      'share': {'weight': mixed['weight']},
    }
