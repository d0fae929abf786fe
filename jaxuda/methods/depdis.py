"""Depth Distribution: adaptation in the joint space of classes and densities.

Wu and Liu, NeurIPS 2022, "Unsupervised Domain Adaptation for Semantic
Segmentation using Depth Distribution". A class appears in certain places of the
image and at certain depths: a mixture per class, fitted to the source, gives
the density of the predicted class at each pixel's depth. A third branch of the
network regresses this density on both domains (branch-balance loss), and a
discriminator, trained and fooled with eqs. 10 and 11, sees self-information
times that branch's output.

This is the adversarial stage; `jaxuda.depdis.run` continues with pseudo-labels
and self-training. The default follows the official code, which produced the
published numbers. The paper mentions neither the map 255 (1 - exp(-1e6 p)) of
the density, nor the class weights, nor that the source's depth counts as 0
where the prediction is wrong; its text implies a gradient of the balance loss
into segmentation and depth, which the code has in none of its rows: there the
maps are constants (`balance_transfer`).
"""

from collections.abc import Sequence
import dataclasses
import functools
import operator
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import density as density_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.models import deeplab
from jaxuda.ops import density as density_ops
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import entropy
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """The adversarial stage of Depth Distribution and its ablations.

  Attributes:
    mixtures: file of the source's mixtures (see `parts.mixtures`); '' fits them
      before training. Only training reads it.
    lambda_seg: weight of the source cross entropy.
    lambda_depth: weight of the source berHu loss of depth; 0: no depth branch.
    lambda_balance: weight of the branch-balance loss on the source; 0: no
      density branch.
    lambda_balance_target: weight of that loss on the target.
    lambda_adv: weight of the adversarial loss on the target.
    align: what the discriminator sees: the product of the named parts.
    source_map: what the density that supervises the branch on the source is
      computed from: 'true_depth', the predicted class at the true depth, as in
      the official code; 'truth', the true class at the true depth (row S1);
      'predicted_depth', the predicted class at the predicted depth (row S2),
      see `losses.density.source_target`.
    balance_transfer: pass the gradient of the balance loss into the
      segmentation (through the mean density over the classes, not that of the
      predicted class) and the depth, where the map is computed from them.
    mask_wrong: set the source's true depth to 0 where the prediction is wrong;
      for 'true_depth' only.
    mapping: how the density is mapped, see `ops.density.map_density`.
    sharpness: sharpness of the mapping, see there: 1e6 in the official code,
      whose grid has 96x161 pixels; 0 derives it from the mixtures (see
      `mixtures.Mixtures`), since densities are greater on a smaller grid.
    grid: 'index': positions are pixel indices of the output grid, as in the
      official code, where all images have one size, so that the grid must be
      that of the mixtures; 'scaled': they are rescaled to that grid.
    balance_classes: weight classes in the source cross entropy by 1 / (C f),
      with f a class's share of the source's pixels.
    class_weights: the weights themselves; empty takes f from the mixtures, and
      must be so without `balance_classes`.
    disc_factor: weight of each discriminator term.
    disc_width: first width of the discriminator.
    statistics: which passes update the running statistics, see
      `learner.run_passes`. If no loss uses the target, 'target' runs a pass on
      it without one, as in AdaBN.
  """

  # The module that makes `mixtures`, see `base.Method`.
  preparation: ClassVar[str] = 'jaxuda.depdis.fit.fitting'

  optim: optim_lib.Options = optim_lib.Options(
    head_multiplier=1.0, repeats='plain', disc_learning_rate=1e-3
  )
  mixtures: str = ''
  lambda_seg: float = 1.0
  lambda_depth: float = 0.005
  lambda_balance: float = 0.01
  lambda_balance_target: float = 0.05
  lambda_adv: float = 0.05
  align: Literal[
    *('none', 'seg', 'depth', 'density'),
    *('seg_depth', 'seg_density', 'seg_depth_density'),
  ] = 'seg_density'
  source_map: Literal['true_depth', 'truth', 'predicted_depth'] = 'true_depth'
  balance_transfer: bool = False
  mask_wrong: bool = True
  mapping: Literal['exponential', 'plain'] = 'exponential'
  sharpness: float = density_ops.SHARPNESS
  grid: Literal['index', 'scaled'] = 'index'
  balance_classes: bool = True
  class_weights: Sequence[float] = ()
  disc_factor: float = 1.0
  disc_width: int = 64
  statistics: learner_lib.Statistics = 'both'

  adversary = property(adversary_lib.of)
  predict = base.predict_task

  def __post_init__(self):
    super().__post_init__()
    errors.check_ranges(self, {'sharpness': (0, None)}, group='method')
    needed = {*self.parts}
    if self.lambda_balance_target:
      needed |= {'depth', 'density'}
    if self.lambda_balance and self.source_map == 'predicted_depth':
      needed.add('depth')
    for field, part, weight in (
      ('lambda_depth', 'depth', self.lambda_depth),
      ('lambda_balance', 'density', self.lambda_balance),
    ):
      if not weight and part in needed:
        raise errors.UserError(
          f'method.{field}=0 builds no such branch; expected more than 0 with'
          f' align={self.align}, source_map={self.source_map},'
          f' lambda_balance_target={self.lambda_balance_target}'
        )

  @property
  def parts(self) -> tuple[str, ...]:
    """The parts whose product the discriminator sees: seg, depth, density."""
    return () if self.align == 'none' else tuple(self.align.split('_'))

  @property
  def needs_mixtures(self) -> bool:
    """Whether training reads the mixtures."""
    weights = self.balance_classes and not self.class_weights
    return bool(self.lambda_balance or weights)

  def read_mixtures(self) -> mixtures_lib.Mixtures:
    """Returns the mixtures, which are read once and then cached."""
    return mixtures_lib.read(self.mixtures, classes=self.num_classes)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source with depth; target images without labels."""
    with_depth = self.lambda_depth or self.lambda_balance
    depth = ('depth',) if with_depth else ()
    target = {'target': ('image',)} if self.sees_target else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def trains_on_target(self) -> bool:
    """See `base.Method.trains_on_target`."""
    return self.align != 'none' or self.lambda_balance_target > 0

  @property
  def task(self) -> deeplab.DeepLab:
    """The network with three branches, none of which is fused into another."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      density=bool(self.lambda_balance),
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, disc_key = jax.random.split(key)
    image = example['source']['image'][:1]
    nets = {'task': self.learner.create(task_key, image)}
    if self.align != 'none':
      channels = self.num_classes if 'seg' in self.parts else 1
      nets['disc'] = self.adversary.create(disc_key, channels)
    return state_lib.create(nets)

  def align_maps(self, full: dict[str, jax.Array]) -> jax.Array | None:
    """Returns the discriminator's input [B, H, W, C] (C = 1 without 'seg')."""
    maps = [
      entropy.self_information(full['logits'])
      if part == 'seg'
      else full[part][..., None]
      for part in self.parts
    ]
    return functools.reduce(operator.mul, maps) if maps else None

  def balance_options(self, shape):
    """Arguments of both balance losses, for outputs [B, h, w]."""
    m = self.read_mixtures()
    dtype = jnp.promote_types(self.network.style.dtype, jnp.float32)
    scale = (1.0, 1.0)
    if self.grid == 'scaled':
      scale = tuple(
        (there - 1) / max(1, here - 1)
        for there, here in zip(m.grid, shape[1:], strict=True)
      )
    return {
      'table': density_ops.tabulate(
        m.weights, m.means, m.covariances, dtype=dtype
      ),
      'scale': scale,
      'mapping': self.mapping,
      'sharpness': self.sharpness or m.sharpness,
      'transfer': self.balance_transfer,
    }

  def source_loss(self, params, batch_stats, source):
    """Runs the supervised pass, see `learner.run_passes`."""
    out, stats = self.learner.run_on(params, batch_stats, source, size='grid')
    full = self.learner.upsample(out, source['image'].shape[1:3])
    weights = None
    if self.balance_classes:
      weights = self.class_weights or self.read_mixtures().class_weights
    loss = segmentation.cross_entropy(
      full['logits'],
      source['label'],
      class_weights=weights,
      axis=self.axis,
    )
    losses = {'loss_seg': (self.lambda_seg, loss)}
    losses |= self.depth_terms(full, source)
    if self.lambda_balance:
      loss = density_losses.source_balance(
        out,
        depth_ops.invert_depth(source['depth']),
        source['label'],
        mask=source['depth_valid'],
        source_map=self.source_map,
        mask_wrong=self.mask_wrong,
        axis=self.axis,
        **self.balance_options(out['density'].shape),
      )
      losses['loss_balance_source'] = self.lambda_balance, loss
    return losses, stats, self.align_maps(full)

  def target_loss(self, params, batch_stats, disc_params, target):
    """Runs the adversarial and balance pass, see `learner.run_passes`."""
    image = target['image']
    out, stats = self.learner.run_on(params, batch_stats, target, size='grid')
    losses, maps = {}, None
    if self.align != 'none':
      maps = self.align_maps(self.learner.upsample(out, image.shape[1:3]))
      loss = self.adversary.fool(disc_params, maps)
      losses['loss_adv'] = self.lambda_adv, loss
    if self.lambda_balance_target:
      loss = density_losses.target_balance(
        out, axis=self.axis, **self.balance_options(out['density'].shape)
      )
      losses['loss_balance_target'] = self.lambda_balance_target, loss
    return losses, stats, maps

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`; all gradients use the old parameters."""
    nets, disc = {}, state.nets.get('disc')
    passes = [(self.source_loss, batch['source'])]
    if self.sees_target:
      params = disc and disc.params
      passes.append((self.target_loss, params, batch['target']))
    nets['task'], losses, maps = self.learner.train(
      state.nets['task'],
      passes,
      statistics=self.statistics,
      noise=self.noise(state, key),
    )
    if disc:
      nets['disc'], terms = self.adversary.update(disc, *maps)
      losses |= terms
    return state.advance(nets), parallel.mean(losses)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`.

    Shows the densities that the density branch predicts, and those computed
    from segmentation and depth with which the balance loss compares them.
    """
    del key
    task = state.nets['task']
    shown = {'image': {}, 'label': {'label': batch['source']['label']}}
    shown['share'] = {}
    for domain, arrays in batch.items():
      size = arrays['image'].shape[1:3]
      shown['image'][domain] = arrays['image']
      out, _ = deeplab.run(
        self.task, task.params, task.batch_stats, arrays['image'], train=False
      )
      full = self.learner.upsample(out, size)
      prediction = full['logits'].argmax(-1)
      shown['label'][f'{domain} prediction'] = prediction
      shares = self.learner.upsample(self._densities(out, arrays), size)
      shown['share'] |= {f'{domain} {k}': x for k, x in shares.items()}
    return shown

  def _densities(self, out, arrays):
    """The density branch's output and the one expected of it, in 0..1."""
    if not self.lambda_balance:
      return {}
    density = out['density']
    options = self.balance_options(density.shape)
    del options['transfer']
    shown = {'density': density}
    if 'label' in arrays:
      shown['expected'] = density_losses.source_target(
        out,
        depth_ops.invert_depth(arrays['depth']),
        arrays['label'],
        source_map=self.source_map,
        mask_wrong=self.mask_wrong,
        **options,
      )
    elif 'depth' in out:
      shown['expected'] = density_ops.target_density(
        logits=out['logits'], inverse=out['depth'], **options
      )
    greatest = density_ops.greatest_density(
      self.mapping, sharpness=options['sharpness']
    )
    return {k: x / greatest for k, x in shown.items()}
