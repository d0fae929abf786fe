"""The DeepLab-v2 networks of ADVENT, DADA and DepDis, and their options."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any, Literal

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.models import efficientnet
from jaxuda.models import heads
from jaxuda.models import layers
from jaxuda.models import resnet
from jaxuda.models import rewrites as rewrites_lib
from jaxuda.models import vgg
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import image as image_ops
from jaxuda.ops import resize

_BACKBONES = (*resnet.SIZES, *efficientnet.SIZES, *vgg.SIZES)
# Of outputs: (h, w), the image's if None, the network's own.
Size = Sequence[int] | Literal['grid'] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Options of how a network is built and run (`config.network`).

  Attributes:
    backbone: 'resnet101' (all papers but GIO-Ada), 'resnet50', 'resnet_small'
      (for CPUs, from scratch), 'efficientnet_lite0' (for CPUs, with ImageNet's
      weights: `config.initial=imagenet`); GIO-Ada also has 'vgg16' (its
      paper's) and 'vgg16_adaptsegnet' (with the pooling and the dilated fc6 and
      fc7 of AdaptSegNet).
    output_stride: pixels between the features that the heads see; 8 in all
      papers, with an EfficientNet also 16 and 32, which cost less.
    stride_at: which convolution of a residual block has its stride: 'conv1'
      (Caffe, all papers) or 'conv2' (torchvision's weights).
    norm: statistics of the batch norms in training: 'batch' (per device, the
      references), 'sync' (over all devices), 'frozen' (the running ones); or
      'none': scale and bias without statistics, of which the target's then
      play no part (the small ResNet learns so, too, only slower).
    norm_momentum: weight of new statistics in the norms' running ones, 0..1;
      0.1 in all references, 0.01 in EfficientNet's training.
    train_affine: train the norms' scale and bias; the references freeze them.
      A network trained from scratch wants them trained.
    init: kernel initialiser: 'reference' N(0, 0.01), 'he' or 'torch'.
    rates: dilations of the ASPP heads.
    active_rates: how many of them act, from the first; 0 for all.
    depth_scale: factor of the outputs of the depth and the density block, 1 in
      the official code, see `heads.DepthBlock`.
    image_order: 'bgr' (Caffe weights, all papers) or 'rgb'.
    image_mean: subtracted, per channel, in that order, range 0..255.
    image_scale: multiplied after that.
    dtype: type that the layers compute in; parameters, statistics and losses
      stay in float32 (float64 keeps everything in float64).
    remat: recompute each block in the backward pass: half the memory, a third
      more operations, the same numbers.
    dot_1x1, dot_wgrad, barriers, aspp_dot, shift_depthwise: exact rewrites, see
      `rewrites.Rewrites`; the same numbers up to the order of additions.
  """

  backbone: str = 'resnet101'
  output_stride: Literal[8, 16, 32] = 8
  stride_at: Literal['conv1', 'conv2'] = 'conv1'
  norm: Literal['batch', 'sync', 'frozen', 'none'] = 'batch'
  norm_momentum: float = 0.1
  train_affine: bool = False
  init: Literal['reference', 'he', 'torch'] = 'reference'
  rates: Sequence[int] = (6, 12, 18, 24)
  active_rates: int = 0
  depth_scale: float = 1.0
  image_order: Literal['bgr', 'rgb'] = 'bgr'
  image_mean: Sequence[float] = image_ops.CAFFE_MEAN
  image_scale: Sequence[float] = (1.0, 1.0, 1.0)
  dtype: Literal['float32', 'bfloat16', 'float64'] = 'float32'
  remat: bool = False
  dot_1x1: bool = True
  dot_wgrad: bool = True
  barriers: bool = True
  aspp_dot: bool = True
  shift_depthwise: bool = True

  def __post_init__(self):
    # Lists (from a config file) would make the options unhashable.
    for field in ('rates', 'image_mean', 'image_scale'):
      object.__setattr__(self, field, tuple(getattr(self, field)))
    if self.backbone not in _BACKBONES:
      raise errors.UserError(
        f'unknown backbone {self.backbone!r}; expected one of'
        f' {", ".join(_BACKBONES)}'
      )
    errors.check_choices(self, group='network')
    lengths = {'image_mean': 3, 'image_scale': 3}
    errors.check_vectors(self, lengths, group='network')
    ranges = {'depth_scale': (0, None), 'norm_momentum': (0, 1)}
    errors.check_ranges(self, ranges, group='network')
    if self.output_stride != 8 and self.backbone not in efficientnet.SIZES:
      raise errors.UserError(
        f'network.output_stride={self.output_stride}; expected 8 with'
        f' network.backbone={self.backbone}'
      )
    whole = all(isinstance(x, int) and x > 0 for x in self.rates)
    if not whole or not self.rates:
      raise errors.UserError(
        f'network.rates={self.rates}; expected whole numbers of at least 1'
      )
    if not 0 <= self.active_rates <= len(self.rates):
      raise errors.UserError(
        f'network.active_rates={self.active_rates}; expected 0 (all) to'
        f' {len(self.rates)}, the number of rates'
      )

  @property
  def style(self) -> layers.Style:
    """The style of all layers."""
    return layers.Style(
      initializer=self.init,
      dtype=jnp.dtype(self.dtype),
      param_dtype=jnp.float64 if self.dtype == 'float64' else jnp.float32,
      rewrites=rewrites_lib.Rewrites(
        dot_1x1=self.dot_1x1,
        dot_wgrad=self.dot_wgrad,
        barriers=self.barriers,
        aspp_dot=self.aspp_dot,
        shift_depthwise=self.shift_depthwise,
      ),
    )

  def grid_size(self, size: Sequence[int]) -> tuple[int, int]:
    """Returns (h, w) of the outputs of `DeepLab` for images of (H, W)."""
    if self.backbone in efficientnet.SIZES:
      return efficientnet.grid_size(size, self.output_stride)
    return resnet.grid_size(size)


def mean_color(options: Options) -> tuple[float, ...]:
  """The RGB colour, 0..255, that a network's normalisation makes 0."""
  mean = options.image_mean
  return mean[::-1] if options.image_order == 'bgr' else mean


def normalize(options: Options, image: jax.Array) -> jax.Array:
  """An image [B, H, W, 3] in 0..255 as a network's options want it."""
  return image_ops.normalize_image(
    image,
    order=options.image_order,
    mean=options.image_mean,
    scale=options.image_scale,
    dtype=options.style.dtype,
  )


def run_backbone(
  options: Options, image: jax.Array, *, train: bool
) -> tuple[jax.Array, jax.Array]:
  """Normalises an image and runs a module's 'backbone' on it.

  To be called inside the module's `__call__`, with its `image` and `train`.
  Returns (an earlier stage, the last one), see `resnet.ResNet` and
  `efficientnet.EfficientNet`.
  """
  o = options
  fields = {
    'size': o.backbone,
    'norm': o.norm,
    'train_affine': o.train_affine,
    'momentum': o.norm_momentum,
    'remat': o.remat,
    'style': o.style,
    'name': 'backbone',
  }
  if o.backbone in efficientnet.SIZES:
    module = efficientnet.EfficientNet(output_stride=o.output_stride, **fields)
  else:
    module = resnet.ResNet(stride_at=o.stride_at, **fields)
  return module(normalize(o, image), train=train)


class Backbone(nn.Module):
  """The backbone of a network alone, with the network's parameters of it.

  Attributes:
    options: see `Options`.
  """

  options: Options = Options()

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
    """The last map [B, h, w, F] of an image [B, H, W, 3] RGB in 0..255."""
    return run_backbone(self.options, image, train=train)[-1]


def run_aspp(
  options: Options, features: jax.Array, channels: int, name: str
) -> jax.Array:
  """A module's ASPP head `name`, at least float32: [B, h, w, channels].

  To be called inside the module's `__call__`.
  """
  y = heads.Aspp(
    channels,
    rates=options.rates,
    active=options.active_rates or None,
    style=options.style,
    name=name,
  )(features)
  return layers.widen(y)


class DeepLab(nn.Module):
  """Backbone, ASPP head, and what a method adds to them.

  Attributes:
    classes: number of classes C.
    options: see `Options`.
    multi_level: a second head on the earlier stage that the backbone hands on
      (`aux`), ResNet's stage 3 in AdaptSegNet and ADVENT.
    depth: DADA's auxiliary block on the last stage.
    fuse: multiply that stage by what the block decodes, before the head (DADA
      section 3.1: a pure product, no residual).
    density: a second such block, which regresses the density of the class at
      the depth (Depth Distribution). Its official code calls it enc4, DADA's
      name for the depth block, and the depth block enc5.
  """

  classes: int
  options: Options = Options()
  multi_level: bool = False
  depth: bool = False
  fuse: bool = False
  density: bool = False

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> dict[str, jax.Array]:
    """Returns low-resolution outputs, as the references' networks do.

    Args:
      image: [B, H, W, 3] uint8 or float RGB in 0..255; it is normalised here.
      train: use batch statistics and move the running ones (`batch_stats`).

    Returns:
      'logits' [B, h, w, C]; with `multi_level` 'aux' of its own h and w; with
      `depth` 'depth' [B, h, w] in inverse depth units; with `density` 'density'
      [B, h, w].
    """
    o = self.options
    earlier, last = run_backbone(o, image, train=train)
    outputs = {}
    if self.multi_level:
      outputs['aux'] = run_aspp(o, earlier, self.classes, 'layer5')
    if self.depth:
      outputs['depth'], factor = heads.DepthBlock(
        decode=self.fuse,
        scale=o.depth_scale,
        prefix='enc5' if self.density else 'enc4',
        style=o.style,
        name='depth',
      )(last)
    if self.density:
      outputs['density'], _ = heads.DepthBlock(
        decode=False, scale=o.depth_scale, style=o.style, name='density'
      )(last)
    if self.fuse:
      last = last * factor
    outputs['logits'] = run_aspp(o, last, self.classes, 'layer6')
    return outputs


def run(
  module: nn.Module,
  params: Any,
  batch_stats: Any,
  image: jax.Array,
  *,
  train: bool,
  dropout_key: jax.Array | None = None,
  features: bool = False,
) -> tuple[dict[str, jax.Array], Any]:
  """Applies a network and returns (outputs, running statistics after it).

  Args:
    module: a network such as `DeepLab`.
    params: parameters of the network.
    batch_stats: running statistics before this pass; {} without norms.
    image: [B, H, W, 3] RGB in 0..255.
    train: whether batch statistics are used and the running ones moved.
    dropout_key: key of a training pass, for a network with dropout.
    features: also give the last map of the network's 'backbone', [B, h, w, F],
      as the output 'features'.
  """
  variables = {'params': params, 'batch_stats': batch_stats}
  outputs, moved = module.apply(
    variables,
    image,
    train=train,
    mutable=['batch_stats'] if train else [],
    rngs={} if dropout_key is None else {'dropout': dropout_key},
    capture_intermediates=_is_backbone if features else False,
  )
  if features:
    (maps,) = moved['intermediates']['backbone']['__call__']
    # A VGG hands on its last map alone.
    last = maps[-1] if isinstance(maps, tuple) else maps
    outputs = {**outputs, 'features': last}
  return outputs, moved.get('batch_stats', batch_stats)


def _is_backbone(module: nn.Module, method: str) -> bool:
  return module.name == 'backbone' and method == '__call__'


def predict(
  module: nn.Module,
  net: Any,
  image: jax.Array,
  *,
  size: Size = None,
  restore: Callable[[jax.Array], jax.Array] = depth_ops.restore_depth,
) -> dict[str, jax.Array]:
  """Full-resolution outputs of a network with its running statistics.

  Args:
    module: a network such as `DeepLab`.
    net: its `state.Net`, or anything with params and batch_stats.
    image: [B, H, W, 3] RGB in 0..255.
    size: (h, w) of the outputs, to which they are upsampled once; that of the
      image if None; 'grid': they stay at the network's resolution.
    restore: the depth output's values -> metres.

  Returns:
    'logits' float32 [B, h, w, C] and, with a depth output, 'depth' float32
    [B, h, w] in metres, interpolated before `restore`, as the loss sees it;
    'depth_source' likewise, of a network with a depth decoder for each domain;
    with a density output 'density' float32 [B, h, w], which is regressed on
    0..255, see `ops.density.map_density`.
  """
  outputs, _ = run(module, net.params, net.batch_stats, image, train=False)
  if size == 'grid':
    size = outputs['logits'].shape[1:3]
  size = tuple(image.shape[1:3] if size is None else size)
  result = {'logits': resize.resize_align_corners(outputs['logits'], size)}
  for name in ('depth', 'depth_source'):
    if name in outputs:
      inverse = resize.resize_align_corners(outputs[name], size)
      result[name] = restore(inverse)
  if 'density' in outputs:
    density = resize.resize_align_corners(outputs['density'], size)
    result['density'] = density
  return result
