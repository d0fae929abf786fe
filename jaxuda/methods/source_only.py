"""Supervised training on one labelled domain.

On the source domain it is the lower bound that every paper reports; on the
target's own labels it is the oracle, the upper bound.

With running statistics of the target it is AdaBN (Li, Wang, Shi, Liu and Hou,
2016, https://arxiv.org/abs/1603.04779), the bound to compare a method with if
its own statistics are the target's.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Literal

import jax

from jaxuda import errors
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.models import hrda
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """Cross entropy, optionally with DADA's depth regression.

  Attributes:
    lambda_seg: weight of the cross entropy.
    lambda_depth: weight of the berHu loss; 0 builds no depth block.
    fuse: multiply the features by what the depth block decodes.
    class_weights: class weights of the cross entropy, see `methods.dada`; empty
      for 1 each.
    average_all: divide the cross entropy by the number of all pixels, as
      DAFormer does, not of the labelled ones alone.
    statistics: whose images update the running statistics, with which the
      network is evaluated. 'source': those that it is trained on. 'target':
      target images alone, which are passed through the network without any loss
      (AdaBN).
  """

  lambda_seg: float = 1.0
  lambda_depth: float = 0.0
  fuse: bool = False
  class_weights: Sequence[float] = ()
  average_all: bool = False
  statistics: Literal['source', 'target'] = 'source'

  two_resolutions = True
  predict = base.predict_task

  def __post_init__(self):
    super().__post_init__()
    if self.fuse and not self.lambda_depth:
      raise errors.UserError(
        'method.fuse=True needs the depth block; expected lambda_depth > 0'
      )
    norm = self.network.norm
    if self.statistics == 'target' and norm in ('frozen', 'none'):
      raise errors.UserError(
        'method.statistics=target updates running statistics, which'
        f' network.norm={norm} {"freezes" if norm == "frozen" else "lacks"}'
        '; expected network.norm=batch or sync'
      )
    if self.statistics == 'target' and not self.network.has_statistics:
      raise errors.UserError(
        'method.statistics=target updates running statistics, which'
        f' network.backbone={self.network.backbone} lacks; expected one with'
        ' batch norms'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled images, with depth if it is regressed; target images if used."""
    depth = ('depth',) if self.lambda_depth else ()
    target = {'target': ('image',)} if self.sees_target else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def trains_on_target(self) -> bool:
    """See `base.Method.trains_on_target`."""
    return False

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
    return state_lib.create({'task': self.learner.create(key, image)})

  def loss(self, params, batch_stats, source):
    """Runs the pass of a step, see `learner.run_passes`."""
    out, stats = self.learner.run_on(params, batch_stats, source)
    cross_entropy = functools.partial(
      segmentation.cross_entropy,
      class_weights=self.class_weights or None,
      average_all=self.average_all,
      axis=self.axis,
    )
    loss = self.compare(cross_entropy, out, source['label'])
    losses = {'loss_seg': (self.lambda_seg, loss)}
    return losses | self.depth_terms(out, source), stats, None

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`."""
    task = state.nets['task']
    grads, stats, losses, _ = learner_lib.run_passes(
      *(task.params, task.batch_stats, [(self.loss, batch['source'])]),
      noise=self.noise(state, key),
    )
    if self.sees_target:
      # At the old parameters and from the old statistics, like the target's
      # pass in an adapting method, see `learner.run_passes`.
      image = batch['target']['image']
      _, stats = self.learner.run(task.params, task.batch_stats, image)
    new = self.learner.update(task, grads, batch_stats=stats)
    return state.advance({'task': new}), parallel.mean(losses)
