"""Depth Distribution: adaptation in the joint space of classes and densities.

Wu and Liu, NeurIPS 2022, "Unsupervised Domain Adaptation for Semantic
Segmentation using Depth Distribution". A class is seen in certain places of the
image and at certain depths: a mixture per class, fitted to the source, gives
the density of the predicted class at each pixel's depth. A third branch of the
network regresses it on both domains (branch-balance loss), and a discriminator
sees self-information times predicted density (eqs. 10, 11).

This is the adversarial stage; `jaxuda.depdis.run` goes on with pseudo-labels
and self-training. The default is the official code, which produced the
published numbers. The paper mentions neither the map 255 (1 - exp(-1e6 p)) of
the density, nor the class weights, nor that the source's depth counts as 0
where the prediction is wrong; its text implies a gradient of the balance loss
into segmentation and depth, which the code does not have (`balance_transfer`).
"""

from collections.abc import Sequence
import dataclasses
from typing import ClassVar

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import adversarial
from jaxuda.losses import density as density_losses
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.models import deeplab
from jaxuda.ops import density as density_ops
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import entropy
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

# What the discriminator sees -> the parts that are multiplied.
ALIGNMENTS = {
  'none': (),
  'seg': ('seg',),
  'depth': ('depth',),
  'density': ('density',),
  'seg_depth': ('seg', 'depth'),
  'seg_density': ('seg', 'density'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """The adversarial stage of Depth Distribution and its ablations.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim: see their `Options`.
    mixtures: file of the source's mixtures (see `parts.mixtures`); '' fits them
      before training. Only training reads it.
    lambda_seg: weight of the source cross entropy.
    lambda_depth: weight of the source berHu loss of depth; 0: no depth branch.
    lambda_balance: weight of the branch-balance loss on the source; 0: no
      density branch.
    lambda_balance_target: the same on the target.
    lambda_adv: weight of the adversarial loss on the target.
    align: what the discriminator sees, a key of `ALIGNMENTS`.
    balance_transfer: let the balance loss reach the segmentation (through the
      mean density over the classes instead of the best one's) and, on the
      target, the depth.
    mask_wrong: the source's depth is 0 where the prediction is wrong.
    mapping: of the density, see `ops.density.map_density`.
    grid: 'index': places are pixel indices of the output grid, as in the
      official code, where all images have one size; 'scaled': they are brought
      to the grid of the mixtures.
    balance_classes: weigh the source cross entropy by 1 / (C f), f a class's
      share of the source's pixels.
    class_weights: the weights themselves; empty takes f from the mixtures.
    disc_factor: weight of each discriminator term.
    disc_width: first width of the discriminator.
    statistics: which passes move the running statistics, see `dada.Method`.
  """

  # The module that makes `mixtures`, see `jaxuda.train.preparation`.
  preparation: ClassVar[str] = 'jaxuda.depdis.fit.fitting'

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options(
    head_multiplier=1.0, repeats='plain', disc_learning_rate=1e-3
  )
  mixtures: str = ''
  lambda_seg: float = 1.0
  lambda_depth: float = 0.005
  lambda_balance: float = 0.01
  lambda_balance_target: float = 0.05
  lambda_adv: float = 0.05
  align: str = 'seg_density'
  balance_transfer: bool = False
  mask_wrong: bool = True
  mapping: str = 'exponential'
  grid: str = 'index'
  balance_classes: bool = True
  class_weights: Sequence[float] = ()
  disc_factor: float = 1.0
  disc_width: int = 64
  statistics: str = 'both'

  def __post_init__(self):
    object.__setattr__(self, 'class_weights', tuple(self.class_weights))
    for field, choices in (
      ('align', tuple(ALIGNMENTS)),
      ('mapping', density_ops.MAPPINGS),
      ('grid', ('index', 'scaled')),
    ):
      if getattr(self, field) not in choices:
        raise errors.UserError(
          f'method.{field}={getattr(self, field)!r}; expected one of'
          f' {", ".join(choices)}'
        )
    adversarial.check_statistics(self.statistics)
    parts = ALIGNMENTS[self.align]
    for field, needed in (
      ('lambda_depth', 'depth' in parts or self.lambda_balance_target),
      ('lambda_balance', 'density' in parts or self.lambda_balance_target),
    ):
      if needed and not getattr(self, field):
        raise errors.UserError(
          f'method.{field}=0 builds no such branch; expected more than 0 with'
          f' align={self.align},'
          f' lambda_balance_target={self.lambda_balance_target}'
        )
    if self.class_weights and len(self.class_weights) != self.num_classes:
      raise errors.UserError(
        f'method.class_weights has {len(self.class_weights)} numbers; expected'
        f' {self.num_classes}, one for each class, or none'
      )

  @property
  def needs_mixtures(self) -> bool:
    """Whether training reads the mixtures."""
    weights = self.balance_classes and not self.class_weights
    return bool(self.lambda_balance or weights)

  def read_mixtures(self) -> mixtures_lib.Mixtures:
    """The mixtures; from memory, but for the first time."""
    return mixtures_lib.read(self.mixtures, classes=self.num_classes)

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source with depth; target images alone."""
    with_depth = self.lambda_depth or self.lambda_balance
    depth = ('depth',) if with_depth else ()
    target = {'target': ('image',)} if self._sees_target else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def _sees_target(self):
    return self.align != 'none' or self.lambda_balance_target > 0

  @property
  def task(self) -> deeplab.DeepLab:
    """The network of three branches, none of which is fused into another."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      density=bool(self.lambda_balance),
    )

  @property
  def adversary(self) -> adversary_lib.Adversary:
    """The discriminator."""
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
    task_key, disc_key = jax.random.split(key)
    variables = self.task.init(task_key, example['source']['image'][:1])
    nets = {'task': state_lib.create_net(variables, self.task_tx)}
    if self.align != 'none':
      channels = self.num_classes if 'seg' in ALIGNMENTS[self.align] else 1
      nets['disc'] = self.adversary.create(disc_key, channels)
    return state_lib.create(nets)

  def align_maps(self, full: dict[str, jax.Array]) -> jax.Array | None:
    """The discriminator's input [B, H, W, C], or [B, H, W, 1] without 'seg'."""
    maps = [
      entropy.self_information(full['logits'])
      if part == 'seg'
      else full[part][..., None]
      for part in ALIGNMENTS[self.align]
    ]
    return maps[0] if len(maps) == 1 else maps[0] * maps[1] if maps else None

  def balance_options(self, shape):
    """What both balance losses are told, for outputs [B, h, w]."""
    m = self.read_mixtures()
    dtype = jnp.promote_types(self.network.types['dtype'], jnp.float32)
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
      'transfer': self.balance_transfer,
    }

  def _upsample(self, out, size):
    used = {'logits', 'depth', *ALIGNMENTS[self.align]}
    return {
      k: resize.resize_align_corners(v, size)
      for k, v in out.items()
      if k in used
    }

  def source_loss(self, params, batch_stats, source):
    """Supervised losses; returns the total and (terms, statistics, maps)."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, source['image'], train=True
    )
    full = self._upsample(out, source['image'].shape[1:3])
    weights = None
    if self.balance_classes:
      weights = self.class_weights or self.read_mixtures().class_weights
    terms = {
      'loss_seg': segmentation.cross_entropy(
        full['logits'], source['label'], class_weights=weights
      )
    }
    total = self.lambda_seg * terms['loss_seg']
    if self.lambda_depth or self.lambda_balance:
      inverse = depth_ops.invert_depth(source['depth'])
    if self.lambda_depth:
      terms['loss_depth'] = depth_losses.berhu(
        full['depth'], inverse, mask=source['depth_valid']
      )
      total = total + self.lambda_depth * terms['loss_depth']
    if self.lambda_balance:
      terms['loss_balance_source'] = density_losses.source_balance(
        out,
        inverse,
        source['label'],
        mask=source['depth_valid'],
        mask_wrong=self.mask_wrong,
        **self.balance_options(out['density'].shape),
      )
      total = total + self.lambda_balance * terms['loss_balance_source']
    return total, (terms, stats, lax.stop_gradient(self.align_maps(full)))

  def target_loss(self, params, batch_stats, disc_params, target):
    """Adversarial and balance losses; returns as `source_loss` does."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, target['image'], train=True
    )
    total, terms = 0.0, {}
    maps = None
    if self.align != 'none':
      maps = self.align_maps(self._upsample(out, target['image'].shape[1:3]))
      terms['loss_adv'] = self.adversary.fool(disc_params, maps)
      total = total + self.lambda_adv * terms['loss_adv']
    if self.lambda_balance_target:
      terms['loss_balance_target'] = density_losses.target_balance(
        out, **self.balance_options(out['density'].shape)
      )
      total = total + self.lambda_balance_target * terms['loss_balance_target']
    return total, (terms, stats, lax.stop_gradient(maps))

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`; all gradients at the old parameters."""
    del key  # Nothing here is random.
    task, nets = state.nets['task'], {}
    grads, (losses, stats, source_maps) = jax.grad(
      self.source_loss, has_aux=True
    )(task.params, task.batch_stats, batch['source'])
    if self._sees_target:
      if self.statistics == 'target':
        stats = task.batch_stats
      disc = state.nets.get('disc')
      # The source's activations are gone before the target's are made.
      params, grads = lax.optimization_barrier((task.params, grads))
      target_grads, (terms, stats, target_maps) = jax.grad(
        self.target_loss, has_aux=True
      )(params, stats, disc and disc.params, batch['target'])
      grads = jax.tree.map(lambda a, b: a + b, grads, target_grads)
      losses = losses | terms
      if disc:
        nets['disc'], terms = self.adversary.update(
          disc, source_maps, target_maps
        )
        losses = losses | terms
    nets['task'] = state_lib.update(
      task, grads, self.task_tx, batch_stats=stats
    )
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`.

    Densities as the density branch has them, and as segmentation and depth give
    them, which it is held against.
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
      prediction = resize.resize_align_corners(out['logits'], size).argmax(-1)
      shown['label'][f'{domain} prediction'] = prediction
      for heading, x in self._densities(out, arrays).items():
        shown['share'][f'{domain} {heading}'] = resize.resize_align_corners(
          x / density_ops.greatest_density(self.mapping), size
        )
    return shown

  def _densities(self, out, arrays):
    """The density branch's output, and what the balance loss compares it to."""
    if not self.lambda_balance:
      return {}
    density = out['density']
    options = self.balance_options(density.shape)
    options.pop('transfer')
    table = options.pop('table')
    if 'label' in arrays:
      truth = depth_ops.invert_depth(arrays['depth']), arrays['label']
      low = (resize.resize_nearest(x, density.shape[1:3]) for x in truth)
      expected = density_ops.source_density(
        table, out['logits'], *low, mask_wrong=self.mask_wrong, **options
      )
    elif 'depth' in out:
      expected = density_ops.target_density(
        table, out['logits'], out['depth'], **options
      )
    else:
      return {'density': density}
    return {'density': density, 'expected': expected}

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Evaluates the task network; see `base.Method.predict`."""
    return deeplab.predict(self.task, state.nets['task'], image, size=size)
