"""DACS: Domain Adaptation via Cross-domain mixed Sampling.

Tranheden, Olsson, Pinto and Svensson, WACV 2021
(https://arxiv.org/abs/2007.08702). An averaged network, the teacher, labels
target images; half the classes of a source image are pasted onto each; the
student learns from the source and from these mixed images.

The default is the official code, which produced the published numbers: the
teacher averages parameters alone and normalises with the statistics of its own
batch, pseudo-labels are not filtered but weighed by the batch's share of sure
pixels, two of the ASPP's four rates act (`network.active_rates=2`).
"""

import dataclasses

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import segmentation
from jaxuda.methods import base
from jaxuda.models import deeplab
from jaxuda.ops import mixing as mixing_ops
from jaxuda.ops import resize
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """DACS.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim, mixing: see their `Options`.
    lambda_seg: weight of the source cross entropy.
    lambda_mixed: weight of the cross entropy on mixed images.
    evaluate: 'student', as all published numbers, or 'teacher', whose running
      statistics are those of the target images alone.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options(active_rates=2)
  optim: optim_lib.Options = optim_lib.Options()
  mixing: mixing_ops.Options = mixing_ops.Options()
  lambda_seg: float = 1.0
  lambda_mixed: float = 1.0
  evaluate: str = 'student'

  def __post_init__(self):
    if self.evaluate not in ('student', 'teacher'):
      raise errors.UserError(
        f'method.evaluate={self.evaluate!r}; expected student or teacher'
      )

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source, target images alone."""
    return {'source': ('image', 'label'), 'target': ('image',)}

  @property
  def evaluated(self) -> str:
    """What `predict` runs, as the scores name it."""
    return 'teacher' if self.evaluate == 'teacher' else 'task (student)'

  @property
  def task(self) -> deeplab.DeepLab:
    """The task network."""
    return deeplab.DeepLab(classes=self.num_classes, options=self.network)

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
    teacher = task.replace(opt_state=())
    return state_lib.create({'task': task}, teacher=teacher)

  def mix(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[dict[str, jax.Array], jax.Array, object]:
    """Labels the target and mixes it with the source.

    Returns:
      (the mixed batch, the mean weight of a pseudo-label, the teacher's running
      statistics).
    """
    source, image = batch['source'], batch['target']['image']
    out, stats = deeplab.run(
      self.task,
      state.teacher.params,
      state.teacher.batch_stats,
      image,
      train=True,
    )
    label, weight = mixing_ops.label_target(
      resize.resize_align_corners(out['logits'], image.shape[1:3]),
      step=state.step,
      options=self.mixing,
      axis=parallel.AXIS,
    )
    mixed = mixing_ops.mix(
      jax.random.fold_in(key, state.step),
      {**source, 'weight': jnp.ones_like(weight)},
      {'image': image, 'label': label, 'weight': weight},
      classes=self.num_classes,
      options=self.mixing,
      axis=parallel.AXIS,
    )
    return lax.stop_gradient(mixed), jnp.mean(weight), stats

  def loss(self, params, batch_stats, batch):
    """The source's or, with 'weight', the mixed images' cross entropy."""
    out, stats = deeplab.run(
      self.task, params, batch_stats, batch['image'], train=True
    )
    logits = resize.resize_align_corners(
      out['logits'], batch['image'].shape[1:3]
    )
    if 'weight' in batch:
      loss = segmentation.weighted_cross_entropy(
        logits, batch['label'], batch['weight']
      )
      return self.lambda_mixed * loss, ({'loss_mixed': loss}, stats)
    loss = segmentation.cross_entropy(logits, batch['label'])
    return self.lambda_seg * loss, ({'loss_seg': loss}, stats)

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`."""
    task = state.nets['task']
    mixed, quality, teacher_stats = self.mix(state, batch, key)
    grads, (losses, stats) = jax.grad(self.loss, has_aux=True)(
      task.params, task.batch_stats, batch['source']
    )
    # The source's activations are gone before the mixed images' are made.
    params, grads = lax.optimization_barrier((task.params, grads))
    more, (terms, stats) = jax.grad(self.loss, has_aux=True)(
      params, stats, mixed
    )
    grads = jax.tree.map(lambda a, b: a + b, grads, more)
    task = state_lib.update(task, grads, self.task_tx, batch_stats=stats)
    state = state.replace(
      step=state.step + 1,
      nets={'task': task},
      teacher=state_lib.update_teacher(
        state.teacher,
        task,
        decay=state_lib.ema_decay(state.step, limit=self.mixing.alpha),
        batch_stats=teacher_stats,
      ),
    )
    return state, parallel.mean({**losses, **terms, 'quality': quality})

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`."""
    mixed, _, _ = self.mix(state, batch, key)
    return {
      'image': {'mixed image': mixed['image']},
      'label': {'mixed label': mixed['label']},
      'share': {'weight': mixed['weight']},
    }

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Evaluates the student (or the teacher); see `base.Method.predict`."""
    teacher = self.evaluate == 'teacher'
    net = state.teacher if teacher else state.nets['task']
    return deeplab.predict(self.task, net, image, size=size)
