"""Self-training: cross entropy on the target's pseudo-labels.

The last stage of Depth Distribution (Wu & Liu, NeurIPS 2022): no source, no
depth, no discriminator; a fresh optimizer, the network of an earlier run
(`config.initial`), labels of `config.data.target.label_dir`. The branches are
those of that network; they are kept and not trained further.
"""

import dataclasses

import jax

from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.models import deeplab
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """Cross entropy on the target.

  Attributes:
    num_classes: C.
    total_steps: length of the schedule.
    network, optim: see their `Options`.
    depth: the network has a depth branch.
    density: it has a density branch.
    fuse: features are multiplied by what the depth branch decodes, as in DADA.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options(
    head_multiplier=1.0, repeats='plain'
  )
  depth: bool = False
  density: bool = False
  fuse: bool = False

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

  @property
  def task_tx(self):
    """Its optimizer."""
    return optim_lib.task_optimizer(
      self.optim, self.network, total_steps=self.total_steps
    )

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    variables = self.task.init(key, example['target']['image'][:1])
    return state_lib.create(
      {'task': state_lib.create_net(variables, self.task_tx)}
    )

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`."""
    del key  # Nothing here is random.
    task, target = state.nets['task'], batch['target']

    def loss(params):
      out, stats = deeplab.run(
        self.task, params, task.batch_stats, target['image'], train=True
      )
      logits = resize.resize_align_corners(
        out['logits'], target['image'].shape[1:3]
      )
      value = segmentation.cross_entropy(logits, target['label'])
      return value, ({'loss_seg': value}, stats)

    grads, (losses, stats) = jax.grad(loss, has_aux=True)(task.params)
    new = state_lib.update(task, grads, self.task_tx, batch_stats=stats)
    # Without a gradient PyTorch leaves a parameter alone; weight decay here
    # would not.
    kept = () if self.fuse else {'depth', 'density'} & set(new.params)
    params = {**new.params, **{k: task.params[k] for k in kept}}
    task = new.replace(params=params)
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
