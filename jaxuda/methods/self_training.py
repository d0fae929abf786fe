"""Self-training: cross entropy on the target's pseudo-labels.

The last stage of Depth Distribution (Wu & Liu, NeurIPS 2022): no source, no
depth and no discriminator, but a fresh optimizer, the network of an earlier run
(`config.initial`) and the labels in `config.data.target.label_dir`. The
branches are those of that network; unless they are fused, they are kept and not
trained further.
"""

import dataclasses

import jax

from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.models import deeplab
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """Cross entropy on the target.

  Attributes:
    depth: whether the network has a depth branch.
    density: whether it has a density branch.
    fuse: multiply the features by what the depth branch decodes, as in DADA.
  """

  optim: optim_lib.Options = optim_lib.Options(
    head_multiplier=1.0, repeats='plain'
  )
  depth: bool = False
  density: bool = False
  fuse: bool = False

  predict = base.predict_task

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Target images and their pseudo-labels."""
    return {'target': ('image', 'label')}

  @property
  def task(self) -> deeplab.DeepLab:
    """The task network."""
    return deeplab.DeepLab(
      classes=self.num_classes,
      options=self.network,
      depth=self.depth,
      density=self.density,
      fuse=self.fuse,
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    image = example['target']['image'][:1]
    return state_lib.create({'task': self.learner.create(key, image)})

  def loss(self, params, batch_stats, target):
    """Runs the pass of a step, see `learner.run_passes`."""
    out, stats = self.learner.run_on(params, batch_stats, target)
    loss = segmentation.cross_entropy(
      out['logits'], target['label'], axis=self.axis
    )
    return {'loss_seg': (1.0, loss)}, stats, None

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`."""
    task = state.nets['task']
    passes = [(self.loss, batch['target'])]
    new, losses, _ = self.learner.train(
      task, passes, noise=self.noise(state, key)
    )
    # PyTorch leaves a parameter without a gradient alone; weight decay here
    # would not.
    kept = () if self.fuse else {'depth', 'density'} & set(new.params)
    params = {**new.params, **{k: task.params[k] for k in kept}}
    state = state.advance({'task': new.replace(params=params)})
    return state, parallel.mean(losses)
