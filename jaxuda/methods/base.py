"""The contract of a method: its required and its optional parts."""

import abc
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import types
from typing import Any, ClassVar, Literal

import jax

from jaxuda import errors
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.ops import depth as depth_ops
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.step import state as state_lib

Batch = Mapping[str, Mapping[str, jax.Array]]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(abc.ABC):
  """Hyper-parameters, and pure functions of a state.

  A subclass is final. Its fields are its hyper-parameters, with the paper's
  values as defaults; those annotated with `Literal` are checked. An ablation is
  a field: branch on it in Python, so that a disabled part is absent from the
  compiled program. The optional parts below are None (or empty) unless a method
  has them: test `if method.predict is None`.

  Attributes:
    num_classes: number of classes C.
    total_steps: length of the schedules.
    sums: what the losses' normalisers and berHu's threshold are computed over:
      'batch', so that a batch has the same effect on one device as on many; or
      'device', each device's share, as the reference code does on several.
    network: how the networks are built and run, see `deeplab.Options`.
    optim: the optimizers of the networks, see `optim.Options`.
    evaluate: which network `predict` runs: 'student', or its average,
      'teacher'. Methods with a teacher make it a field.
    class_weights: class weights of the source's cross entropy, C numbers of at
      least 0, or empty for 1 each. Methods that support them make it a field.
    lambda_depth: weight of the source's depth loss; 0 for none. Methods that
      have such a loss make it a field.
    statistics: which domains' passes update the running statistics. 'target'
      runs a pass on the target even if no loss uses it. Methods whose
      statistics can be the target's alone make it a field.
    preparation: name of the module whose `prepare(method, config)` returns the
      method with what it needs from the dataset as a whole; a name, so that
      methods do not import that module.
    task: module of the task network, the one that is evaluated.
    two_resolutions: whether the task network can run at HRDA's two resolutions,
      see `models.hrda`.
    heads: module of `deeplab.DeepLab` -> module of the task network that is
      initialised from it when training starts from a run of such a network; {}:
      training can start only from a run of the same network.
    moved: fields that have moved to `network` under the same name; configs of
      older runs have them in `method`.
    output_disc: architecture of the discriminators of outputs, one of
      `translator.Architecture`. Methods with a choice make it a field.
    predict: (state, image, *, size=None) -> outputs, see `deeplab.predict`. A
      method without it is not evaluated.
    translate: (state, source of a batch) -> float [B, H, W, 3] RGB in 0..255,
      the transformed source images.
    pictures: (state, batch, key) as in `train_step` -> kind -> heading -> maps
      that show what the method makes of a training batch. The kind says how to
      paint them: 'image' [B, H, W, 3] RGB in 0..255, 'label' int [B, H, W],
      'depth' [B, H, W] metres, 'share' [B, H, W] in 0..1.
  """

  num_classes: int
  total_steps: int
  sums: Literal['batch', 'device'] = 'batch'
  network: deeplab.Options = deeplab.Options()
  optim: optim_lib.Options = optim_lib.Options()

  evaluate: ClassVar[str] = 'student'
  class_weights: ClassVar[Sequence[float]] = ()
  lambda_depth: ClassVar[float] = 0.0
  statistics: ClassVar[str] = 'both'
  preparation: ClassVar[str] = ''
  task: ClassVar[Any] = None
  two_resolutions: ClassVar[bool] = False
  heads: ClassVar[Mapping[str, str]] = types.MappingProxyType({})
  moved: ClassVar[Sequence[str]] = ()
  output_disc: ClassVar[str] = 'strided'
  predict: ClassVar[Callable[..., Any] | None] = None
  translate: ClassVar[Callable[..., Any] | None] = None
  pictures: ClassVar[Callable[..., Any] | None] = None

  def __post_init__(self):
    errors.check_choices(self, group='method')
    names = (x.name for x in dataclasses.fields(self))
    lambdas = [x for x in names if x.startswith('lambda_')]
    errors.check_ranges(self, dict.fromkeys(lambdas, (0, None)), group='method')
    if self.network.resolutions == 'hrda' and not self.two_resolutions:
      raise errors.UserError(
        'network.resolutions=hrda; expected one with this method (hrda is for'
        ' source_only, dacs and corda)'
      )
    # A list (from a config file) would make the method unhashable.
    weights = tuple(self.class_weights)
    if weights and len(weights) != self.num_classes:
      raise errors.UserError(
        f'method.class_weights has {len(weights)} numbers; expected'
        f' {self.num_classes}, one for each class, or none'
      )
    if min(weights, default=0) < 0:
      raise errors.UserError(
        f'method.class_weights={weights}; expected numbers of at least 0'
      )
    object.__setattr__(self, 'class_weights', weights)

  @property
  @abc.abstractmethod
  def needs(self) -> dict[str, tuple[str, ...]]:
    """The contents of a training batch: {'source': ('image', 'label', ...)}.

    The pipeline reads exactly this and nothing else from disk. 'depth' implies
    'depth_valid'.
    """

  @abc.abstractmethod
  def init(self, key: jax.Array, example: Batch) -> state_lib.TrainState:
    """Returns the state before the first step. Runs under jit.

    Args:
      key: typed key.
      example: a batch; only its shapes and dtypes matter.
    """

  @abc.abstractmethod
  def train_step(
    self, state: state_lib.TrainState, batch: Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, Metrics]:
    """Takes one step. Pure, per device, under a mapped axis.

    Args:
      state: the whole state, equal on every device.
      batch: this device's share. 'image' uint8 [B, H, W, 3] RGB; 'label' int32
        [B, H, W], 255 = ignore; 'depth' float32 [B, H, W] metres; 'depth_valid'
        bool [B, H, W].
      key: the root key of the run; fold in step and device with `rng.for_step`.

    Returns:
      The new state and scalars by name ('loss_<term>'), both equal on every
      device.
    """

  @property
  def trains_on_target(self) -> bool:
    """Whether any loss of the task network uses target images.

    Methods without such a loss, always or in an ablation, override this.
    """
    return True

  @property
  def sees_target(self) -> bool:
    """Whether the task network sees target images, if only for statistics."""
    return self.trains_on_target or self.statistics == 'target'

  @property
  def axis(self) -> str | None:
    """The mapped axis over which the losses are summed, see `sums`."""
    return parallel.AXIS if self.sums == 'batch' else None

  @property
  def learner(self) -> learner_lib.Learner:
    """The task network with its optimizer."""
    tx = optim_lib.task_optimizer(
      self.optim, self.network, total_steps=self.total_steps
    )
    return learner_lib.Learner(self.task, tx)

  def compare(
    self,
    loss: Callable[..., jax.Array],
    outputs: Mapping[str, Any],
    *maps: jax.Array,
  ) -> jax.Array:
    """Returns a loss of the logits, at both resolutions if there are two.

    Args:
      loss: (logits, *maps) -> scalar.
      outputs: what `learner.run` returns.
      *maps: labels and weights [B, H, W], see `segmentation.with_detail`.
    """
    return segmentation.with_detail(
      loss,
      outputs['logits'],
      maps,
      detail=outputs.get('detail'),
      weight=self.network.detail_weight,
    )

  def depth_terms(
    self, outputs: Mapping[str, Any], source: Mapping[str, jax.Array]
  ) -> dict[str, tuple[float, jax.Array]]:
    """Returns DADA's berHu loss of inverse depth (eqs. 2 and 3), weighted.

    Returns nothing if `lambda_depth` is 0. The official loss has no mask;
    `depth_valid` is all True unless the pipeline was asked to mask zero or
    saturated depth.

    Args:
      outputs: 'depth' [B, H, W], inverse.
      source: 'depth' [B, H, W] in metres and 'depth_valid' bool [B, H, W].
    """
    if not self.lambda_depth:
      return {}
    loss = depth_losses.berhu(
      outputs['depth'],
      depth_ops.invert_depth(source['depth']),
      mask=source['depth_valid'],
      axis=self.axis,
    )
    return {'loss_depth': (self.lambda_depth, loss)}

  def noise(
    self, state: state_lib.TrainState, key: jax.Array
  ) -> jax.Array | None:
    """Returns the key of a step's passes; None if the network draws nothing.

    Args:
      state: a training state; only its step matters.
      key: see `train_step`.
    """
    if not self.network.draws:
      return None
    key = rng.stream(key, 'noise')
    return rng.for_step(key, state.step, parallel.device_index())

  def restore_depth(self, values: jax.Array) -> jax.Array:
    """Converts values of the depth output to metres, both [...]."""
    return depth_ops.restore_depth(values)

  def enlarge(
    self, outputs: Mapping[str, jax.Array], size: Sequence[int]
  ) -> dict[str, jax.Array]:
    """Resizes outputs of `predict` with size='grid' to (h, w), as it does."""
    return deeplab.enlarge(
      outputs,
      size,
      align_corners=self.network.align_corners,
      restore=self.restore_depth,
    )


def predict_task(
  method: Method,
  state: state_lib.TrainState,
  image: jax.Array,
  *,
  size: deeplab.Size = None,
) -> dict[str, jax.Array]:
  """Runs the evaluated network with its running statistics.

  A method with a task network sets `predict = base.predict_task`.

  Args:
    method: its `evaluate` chooses the student or the teacher.
    state: a training state.
    image: uint8 [B, H, W, 3] RGB.
    size: see `deeplab.predict`, as are the outputs.
  """
  net, restore = state.find(method.evaluate), method.restore_depth
  return deeplab.predict(method.task, net, image, size=size, restore=restore)
