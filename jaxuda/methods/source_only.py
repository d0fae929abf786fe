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
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """Cross entropy, with DADA's depth regression beside it if asked for.

  Attributes:
    lambda_seg: weight of the cross entropy.
    lambda_depth: weight of the berHu loss; 0 builds no depth block.
    fuse: multiply the features by what the depth block decodes.
  """

  lambda_seg: float = 1.0
  lambda_depth: float = 0.0
  fuse: bool = False

  predict = base.predict_task

  def __post_init__(self):
    super().__post_init__()
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

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    image = example['source']['image'][:1]
    return state_lib.create({'task': self.learner.create(key, image)})

  def loss(self, params, batch_stats, source):
    """The pass of a step, see `learner.run_passes`."""
    out, stats = self.learner.run(params, batch_stats, source['image'])
    losses = {
      'loss_seg': (
        self.lambda_seg,
        segmentation.cross_entropy(out['logits'], source['label']),
      )
    }
    if self.lambda_depth:
      berhu = depth_losses.berhu(
        out['depth'],
        depth_ops.invert_depth(source['depth']),
        mask=source['depth_valid'],
      )
      losses['loss_depth'] = self.lambda_depth, berhu
    return losses, stats, None

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`."""
    del key  # Nothing here is random.
    task, losses, _ = self.learner.train(
      state.nets['task'], [(self.loss, batch['source'])]
    )
    return state.advance({'task': task}), parallel.mean(losses)
