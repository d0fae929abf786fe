"""DADA: Depth-aware Domain Adaptation in Semantic Segmentation.

Vu, Jain, Bucher, Cord, Perez, ICCV 2019 (https://arxiv.org/abs/1904.01886).
Depth is regressed on the source as privileged information (eqs. 2 and 3),
features are fused with what the depth block decodes (section 3.1), and a
discriminator (eq. 6), which the target must learn to fool (eq. 7), sees
self-information (eq. 5) times depth (section 3.2; that equation has no number).

Where the paper and the official code differ, the default follows the code,
which produced the published numbers: losses are means over pixels (paper:
sums), self-information is in base 2 and divided by log2 C, and the
discriminator's two terms have weight 1.
"""

from collections.abc import Sequence
import dataclasses
from typing import Literal

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.ops import entropy
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """DADA and the rows of its ablation.

  Attributes:
    lambda_seg: weight of the source cross entropy (eq. 1).
    lambda_depth: weight of the source berHu loss (eqs. 2 and 3); 0: no depth
      block.
    lambda_adv: weight of the adversarial loss on the target (eq. 7), or of each
      such loss if there are two discriminators.
    fuse: feature fusion, layer 4 times the decoded depth features.
    align: what the discriminator sees. 'dada': self-information times depth;
      'seg': self-information alone, as in AdvEnt; 'depth': the depth map alone;
      'separate': two discriminators, one for each; 'none': no adaptation, no
      discriminator.
    align_scale: with 'dada', 'mean' divides the depth by its mean magnitude
      over the batch (of one domain, on one device), so that the product has the
      scale of the self-information; not in the paper.
    align_depth_gradient: with 'dada', whether the adversarial loss also passes
      a gradient into the depth. False makes depth a constant weight; not in the
      paper.
    class_weights: class weights of the cross entropy, as in Depth Distribution
      (1 / (C f) with f the class's share of the source's pixels); empty for 1
      each, as in the official code.
    disc_factor: weight of each discriminator term: 1 in the official code; 1/2
      in ADVENT's, with which the paper compares.
    disc_width: first width of the discriminators, 64 in all papers.
    statistics: which passes update the running statistics, 'both', as in the
      official code, or 'target', see `learner.run_passes`. With align='none',
      'target' runs a pass on the target without a loss, as in AdaBN.
  """

  lambda_seg: float = 1.0
  lambda_depth: float = 1e-3
  lambda_adv: float = 1e-3
  fuse: bool = True
  align: Literal['none', 'seg', 'depth', 'separate', 'dada'] = 'dada'
  align_scale: Literal['none', 'mean'] = 'none'
  align_depth_gradient: bool = True
  class_weights: Sequence[float] = ()
  disc_factor: float = 1.0
  disc_width: int = 64
  statistics: learner_lib.Statistics = 'both'

  adversary = property(adversary_lib.of)
  predict = base.predict_task

  def __post_init__(self):
    super().__post_init__()
    if not self.lambda_depth and (
      self.fuse or self.align not in ('none', 'seg')
    ):
      raise errors.UserError(
        'method.lambda_depth=0 builds no depth output; expected fuse=False and'
        f' align=none or seg with it, got fuse={self.fuse}, align={self.align}'
      )
    if self.align != 'dada' and (
      self.align_scale != 'none' or not self.align_depth_gradient
    ):
      raise errors.UserError(
        f'method.align={self.align} multiplies nothing by depth; expected'
        ' align_scale=none and align_depth_gradient=True with it, got'
        f' {self.align_scale} and {self.align_depth_gradient}'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source with depth; target images without labels."""
    depth = ('depth',) if self.lambda_depth else ()
    target = {'target': ('image',)} if self.sees_target else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def trains_on_target(self) -> bool:
    """See `base.Method.trains_on_target`."""
    return self.align != 'none'

  @property
  def task(self) -> deeplab.DeepLab:
    """The task network."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      fuse=self.fuse,
    )

  @property
  def disc_channels(self) -> dict[str, int]:
    """The number of input channels of each discriminator."""
    return {
      'none': {},
      'seg': {'disc': self.num_classes},
      'depth': {'disc': 1},
      'separate': {'disc_seg': self.num_classes, 'disc_depth': 1},
      'dada': {'disc': self.num_classes},
    }[self.align]

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, *disc_keys = jax.random.split(key, 3)
    image = example['source']['image'][:1]
    nets = {'task': self.learner.create(task_key, image)}
    for disc_key, (name, channels) in zip(
      disc_keys, self.disc_channels.items(), strict=False
    ):
      nets[name] = self.adversary.create(disc_key, channels)
    return state_lib.create(nets)

  def align_maps(self, full: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns each discriminator's input for full-size outputs.

    Args:
      full: 'logits' [B, H, W, C] and, with a depth block, 'depth' [B, H, W] in
        inverse depth units.

    Returns:
      Discriminator -> [B, H, W, C], or [B, H, W, 1] for depth alone.
    """
    if self.align == 'none':
      return {}
    if self.align == 'depth':
      return {'disc': full['depth'][..., None]}
    maps = entropy.self_information(full['logits'])
    if self.align == 'seg':
      return {'disc': maps}
    depth = full['depth'][..., None]
    if self.align == 'separate':
      return {'disc_seg': maps, 'disc_depth': depth}
    return {'disc': maps * self._depth_factor(depth)}

  def _depth_factor(self, depth):
    """Depth as the factor of the self-information."""
    if not self.align_depth_gradient:
      depth = lax.stop_gradient(depth)
    if self.align_scale == 'mean':
      # A constant, and at least the inverse depth of the sky: a network that
      # has not learned depth yet predicts about 0.
      mean = lax.stop_gradient(jnp.mean(jnp.abs(depth)))
      depth = depth / jnp.maximum(mean, 1.0)
    return depth

  def source_loss(self, params, batch_stats, source):
    """Runs the pass of eqs. 1 to 4, see `learner.run_passes`."""
    full, stats = self.learner.run_on(params, batch_stats, source)
    loss = segmentation.cross_entropy(
      full['logits'],
      source['label'],
      class_weights=self.class_weights or None,
      axis=self.axis,
    )
    losses = {'loss_seg': (self.lambda_seg, loss)}
    losses |= self.depth_terms(full, source)
    return losses, stats, self.align_maps(full)

  def target_loss(self, params, batch_stats, discs, target):
    """Runs the pass of eq. 7, see `learner.run_passes`.

    `discs` has the parameters of the discriminators by name.
    """
    full, stats = self.learner.run_on(params, batch_stats, target)
    maps, losses = self.align_maps(full), {}
    for name, x in maps.items():
      loss = self.adversary.fool(discs[name], x)
      losses[name.replace('disc', 'loss_adv')] = self.lambda_adv, loss
    return losses, stats, maps

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`.

    All gradients are taken at the old parameters, which is what the official
    loop's two backward passes and two optimizer steps amount to; only the
    running statistics carry over from the source's forward pass to the
    target's.
    """
    nets, passes = dict(state.nets), [(self.source_loss, batch['source'])]
    discs = {name: nets[name].params for name in self.disc_channels}
    if self.sees_target:
      passes.append((self.target_loss, discs, batch['target']))
    nets['task'], losses, maps = self.learner.train(
      nets['task'],
      passes,
      statistics=self.statistics,
      noise=self.noise(state, key),
    )
    nets, terms = self.adversary.update_each(nets, maps)
    return state.advance(nets), parallel.mean(losses | terms)
