"""Supervised training on one labelled domain.

On the source domain it is the lower bound that every paper reports; on the
target's own labels it is the oracle, the upper bound.
"""

import dataclasses

import jax

from jaxuda import errors
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.models import deeplab
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """Cross entropy, with DADA's depth regression beside it if asked for.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim: see their `Options`.
    lambda_seg: weight of the cross entropy.
    lambda_depth: weight of the berHu loss; 0 builds no depth block.
    fuse: multiply the features by what the depth block decodes.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options()
  lambda_seg: float = 1.0
  lambda_depth: float = 0.0
  fuse: bool = False

  def __post_init__(self):
    if self.fuse and not self.lambda_depth:
      raise errors.UserError(
        'method.fuse=True needs the depth block; expected lambda_depth > 0'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled images, with depth if it is regressed."""
    depth = ('depth',) if self.lambda_depth else ()
    return {'source': ('image', 'label', *depth)}

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
  def task_tx(self):
    """Its optimizer."""
    return optim_lib.task_optimizer(
      self.optim, self.network, total_steps=self.total_steps
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    image = example['source']['image'][:1]
    task = state_lib.create_net(self.task.init(key, image), self.task_tx)
    return state_lib.create({'task': task})

  def train_step(
    self,
    state: state_lib.TrainState,
    batch: base.Batch,
    key: jax.Array,
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`."""
    del key  # Nothing here is random.
    task, source = state.nets['task'], batch['source']
    size = source['image'].shape[1:3]

    def task_loss(params):
      out, stats = deeplab.run(
        self.task, params, task.batch_stats, source['image'], train=True
      )
      logits = resize.resize_align_corners(out['logits'], size)
      losses = {'loss_seg': segmentation.cross_entropy(logits, source['label'])}
      total = self.lambda_seg * losses['loss_seg']
      if self.lambda_depth:
        losses['loss_depth'] = depth_losses.berhu(
          resize.resize_align_corners(out['depth'], size),
          depth_ops.invert_depth(source['depth']),
          mask=source['depth_valid'],
        )
        total = total + self.lambda_depth * losses['loss_depth']
      return total, (losses, stats)

    grads, (losses, stats) = jax.grad(task_loss, has_aux=True)(task.params)
    task = state_lib.update(task, grads, self.task_tx, batch_stats=stats)
    state = state.replace(step=state.step + 1, nets={'task': task})
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
