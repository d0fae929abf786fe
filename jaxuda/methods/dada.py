"""DADA: Depth-aware Domain Adaptation in Semantic Segmentation.

Vu, Jain, Bucher, Cord, Perez, ICCV 2019 (https://arxiv.org/abs/1904.01886).
Depth is regressed on the source as privileged information (eq. 2), features are
fused with what the depth block decodes (section 3.1), and a discriminator sees
self-information times depth (section 3.2, eqs. 5-8).

Where paper and official code differ the default is the code, which produced the
published numbers: losses are means over pixels (paper: sums), self-information
is in base 2 and divided by log2 C, the discriminator's two terms have weight 1.
"""

from collections.abc import Sequence
import dataclasses

import jax
from jax import lax

from jaxuda import errors
from jaxuda.losses import adversarial
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.models import deeplab
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import entropy
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

_ALIGNMENTS = ('none', 'seg', 'depth', 'dada')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """DADA and the rows of its ablation.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim: see their `Options`.
    lambda_seg: weight of the source cross entropy (eq. 1).
    lambda_depth: weight of the source berHu loss (eq. 2); 0: no depth block.
    lambda_adv: weight of the adversarial loss on the target (eq. 8).
    fuse: feature fusion, layer 4 times the decoded depth features.
    align: what the discriminator sees. 'dada': self-information times depth
      (eq. 6); 'seg': self-information alone, as AdvEnt; 'depth': the depth map
      alone; 'none': no adaptation, no discriminator.
    disc_factor: weight of each discriminator term: 1 in the official code; 1/2
      in ADVENT's, with which the paper compares.
    statistics: which forward passes move the norms' running statistics, that
      is what the evaluated network normalises with. 'both': source, then
      target, as in the official code; the mean of two domains suits neither
      when they look very different. 'target': the target's alone, as AdaBN
      (Li et al., 2016).
    disc_width: first width of the discriminator, 64 in all papers.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options()
  lambda_seg: float = 1.0
  lambda_depth: float = 1e-3
  lambda_adv: float = 1e-3
  fuse: bool = True
  align: str = 'dada'
  disc_factor: float = 1.0
  disc_width: int = 64
  statistics: str = 'both'

  def __post_init__(self):
    if self.align not in _ALIGNMENTS:
      raise errors.UserError(
        f'method.align={self.align!r}; expected one of {", ".join(_ALIGNMENTS)}'
      )
    adversarial.check_statistics(self.statistics)
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
    image = example['source']['image'][:1]
    nets = {
      'task': state_lib.create_net(
        self.task.init(task_key, image), self.task_tx
      )
    }
    if self.align != 'none':
      channels = 1 if self.align == 'depth' else self.num_classes
      nets['disc'] = self.adversary.create(disc_key, channels)
    return state_lib.create(nets)

  def upsample(
    self, out: dict[str, jax.Array], size: Sequence[int]
  ) -> dict[str, jax.Array]:
    """Brings every output of the network to full resolution, once."""
    return {k: resize.resize_align_corners(v, size) for k, v in out.items()}

  def align_maps(self, full: dict[str, jax.Array]) -> jax.Array:
    """The discriminator's input [B, H, W, C], or [B, H, W, 1] for depth."""
    if self.align == 'depth':
      return full['depth'][..., None]
    maps = entropy.self_information(full['logits'])
    if self.align == 'dada':
      maps = maps * full['depth'][..., None]
    return maps

  def source_loss(
    self, params, batch_stats, source
  ) -> tuple[jax.Array, tuple[dict[str, jax.Array], object, jax.Array | None]]:
    """Eqs. 1 and 2; returns the total and (terms, statistics, maps)."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, source['image'], train=True
    )
    full = self.upsample(out, source['image'].shape[1:3])
    terms = {
      'loss_seg': segmentation.cross_entropy(full['logits'], source['label'])
    }
    total = self.lambda_seg * terms['loss_seg']
    if self.lambda_depth:
      # The official loss has no mask; `depth_valid` is all True unless the
      # pipeline was asked to mask zero or saturated depth.
      terms['loss_depth'] = depth_losses.berhu(
        full['depth'],
        depth_ops.invert_depth(source['depth']),
        mask=source['depth_valid'],
      )
      total = total + self.lambda_depth * terms['loss_depth']
    maps = None
    if self.align != 'none':
      maps = lax.stop_gradient(self.align_maps(full))
    return total, (terms, stats, maps)

  def target_loss(
    self, params, batch_stats, disc_params, target
  ) -> tuple[jax.Array, tuple[dict[str, jax.Array], object, jax.Array]]:
    """Eq. 8: the target shall look like the source to the discriminator."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, target['image'], train=True
    )
    maps = self.align_maps(self.upsample(out, target['image'].shape[1:3]))
    loss = self.adversary.fool(disc_params, maps)
    terms = {'loss_adv': loss}
    return self.lambda_adv * loss, (terms, stats, lax.stop_gradient(maps))

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`.

    All gradients are taken at the old parameters, as the official loop's two
    backward passes and two optimizer steps amount to; only the running
    statistics pass from the source's forward to the target's.
    """
    del key  # Nothing here is random.
    task = state.nets['task']
    grads, (losses, stats, source_maps) = jax.grad(
      self.source_loss, has_aux=True
    )(task.params, task.batch_stats, batch['source'])
    nets = {}
    if self.align != 'none':
      disc = state.nets['disc']
      if self.statistics == 'target':
        stats = task.batch_stats
      # The source's activations are gone before the target's are made.
      params, grads = lax.optimization_barrier((task.params, grads))
      target_grads, (terms, stats, target_maps) = jax.grad(
        self.target_loss, has_aux=True
      )(params, stats, disc.params, batch['target'])
      grads = jax.tree.map(lambda a, b: a + b, grads, target_grads)
      nets['disc'], disc_terms = self.adversary.update(
        disc, source_maps, target_maps
      )
      losses = losses | terms | disc_terms
    nets['task'] = state_lib.update(
      task, grads, self.task_tx, batch_stats=stats
    )
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Evaluates the task network; see `base.Method.predict`."""
    return deeplab.predict(self.task, state.nets['task'], image, size=size)
