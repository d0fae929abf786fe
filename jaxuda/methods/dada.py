"""DADA: Depth-aware Domain Adaptation in Semantic Segmentation.

Vu, Jain, Bucher, Cord, Perez, ICCV 2019 (https://arxiv.org/abs/1904.01886).
Depth is regressed on the source as privileged information (eq. 2), features are
fused with what the depth block decodes (section 3.1), and a discriminator sees
self-information times depth (section 3.2, eqs. 5-8).

Where paper and official code differ the default is the code, which produced the
published numbers: losses are means over pixels (paper: sums), self-information
is in base 2 and divided by log2 C, the discriminator's two terms have weight 1.
"""

import dataclasses
from typing import Literal

import jax

from jaxuda import errors
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import entropy
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """DADA and the rows of its ablation.

  Attributes:
    lambda_seg: weight of the source cross entropy (eq. 1).
    lambda_depth: weight of the source berHu loss (eq. 2); 0: no depth block.
    lambda_adv: weight of the adversarial loss on the target (eq. 8).
    fuse: feature fusion, layer 4 times the decoded depth features.
    align: what the discriminator sees. 'dada': self-information times depth
      (eq. 6); 'seg': self-information alone, as AdvEnt; 'depth': the depth map
      alone; 'none': no adaptation, no discriminator.
    disc_factor: weight of each discriminator term: 1 in the official code; 1/2
      in ADVENT's, with which the paper compares.
    disc_width: first width of the discriminator, 64 in all papers.
    statistics: which passes move the running statistics, 'both' in the official
      code, or 'target', see `learner.run_passes`.
  """

  lambda_seg: float = 1.0
  lambda_depth: float = 1e-3
  lambda_adv: float = 1e-3
  fuse: bool = True
  align: Literal['none', 'seg', 'depth', 'dada'] = 'dada'
  disc_factor: float = 1.0
  disc_width: int = 64
  statistics: learner_lib.Statistics = 'both'

  adversary = property(adversary_lib.of)
  predict = base.predict_task

  def __post_init__(self):
    super().__post_init__()
    if not self.lambda_depth and (self.fuse or self.align in ('depth', 'dada')):
      raise errors.UserError(
        'method.lambda_depth=0 builds no depth output; expected fuse=False and'
        f' align=none or seg with it, got fuse={self.fuse}, align={self.align}'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source with depth; target images alone."""
    depth = ('depth',) if self.lambda_depth else ()
    target = {} if self.align == 'none' else {'target': ('image',)}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def task(self) -> deeplab.DeepLab:
    """The task network."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      fuse=self.fuse,
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, disc_key = jax.random.split(key)
    image = example['source']['image'][:1]
    nets = {'task': self.learner.create(task_key, image)}
    if self.align != 'none':
      channels = 1 if self.align == 'depth' else self.num_classes
      nets['disc'] = self.adversary.create(disc_key, channels)
    return state_lib.create(nets)

  def align_maps(self, full: dict[str, jax.Array]) -> jax.Array:
    """The discriminator's input [B, H, W, C], or [B, H, W, 1] for depth."""
    if self.align == 'depth':
      return full['depth'][..., None]
    maps = entropy.self_information(full['logits'])
    if self.align == 'dada':
      maps = maps * full['depth'][..., None]
    return maps

  def source_loss(self, params, batch_stats, source):
    """The pass of eqs. 1 and 2, see `learner.run_passes`."""
    full, stats = self.learner.run(params, batch_stats, source['image'])
    loss = segmentation.cross_entropy(full['logits'], source['label'])
    losses = {'loss_seg': (self.lambda_seg, loss)}
    if self.lambda_depth:
      # The official loss has no mask; `depth_valid` is all True unless the
      # pipeline was asked to mask zero or saturated depth.
      loss = depth_losses.berhu(
        full['depth'],
        depth_ops.invert_depth(source['depth']),
        mask=source['depth_valid'],
      )
      losses['loss_depth'] = self.lambda_depth, loss
    maps = None if self.align == 'none' else self.align_maps(full)
    return losses, stats, maps

  def target_loss(self, params, batch_stats, disc_params, target):
    """The pass of eq. 8, see `learner.run_passes`."""
    full, stats = self.learner.run(params, batch_stats, target['image'])
    maps = self.align_maps(full)
    loss = self.adversary.fool(disc_params, maps)
    return {'loss_adv': (self.lambda_adv, loss)}, stats, maps

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`.

    All gradients are taken at the old parameters, as the official loop's two
    backward passes and two optimizer steps amount to; only the running
    statistics pass from the source's forward to the target's.
    """
    del key  # Nothing here is random.
    nets, passes = {}, [(self.source_loss, batch['source'])]
    if self.align != 'none':
      disc = state.nets['disc']
      passes.append((self.target_loss, disc.params, batch['target']))
    nets['task'], losses, maps = self.learner.train(
      state.nets['task'], passes, statistics=self.statistics
    )
    if self.align != 'none':
      nets['disc'], terms = self.adversary.update(disc, *maps)
      losses |= terms
    return state.advance(nets), parallel.mean(losses)
