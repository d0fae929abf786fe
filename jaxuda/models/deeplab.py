"""The networks of ADVENT, DADA and DepDis, and the parts that others share.

A backbone computes maps from fine to coarse; a neck turns them into the
features that blocks and heads see; heads turn features into outputs.
DeepLab-v2's networks have no neck.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any, Literal

from flax import linen as nn
import jax

from jaxuda.models import heads
from jaxuda.models import layers
from jaxuda.models import options as options_lib
from jaxuda.models.backbones import efficientnet
from jaxuda.models.backbones import mit
from jaxuda.models.backbones import resnet
from jaxuda.models.backbones import vgg
from jaxuda.models.backbones import vit
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import image as image_ops
from jaxuda.ops import resize

Options = options_lib.Options
# Size of outputs: (h, w), 'grid' for the network's own, None for the image's.
Size = Sequence[int] | Literal['grid'] | None
Restore = Callable[[jax.Array], jax.Array]
# The outputs that `predict` returns if a network has them.
_PREDICTED = ('logits', 'depth', 'depth_source', 'density')


def mean_color(options: Options) -> tuple[float, ...]:
  """Returns the RGB colour, 0..255, that a network normalises to 0."""
  mean = options.image_mean
  return mean[::-1] if options.image_order == 'bgr' else mean


def normalize(options: Options, image: jax.Array) -> jax.Array:
  """Normalises an image [B, H, W, 3] in 0..255 as a network's options say."""
  return image_ops.normalize_image(
    image,
    order=options.image_order,
    mean=options.image_mean,
    scale=options.image_scale,
    dtype=options.style.dtype,
  )


def run_backbone(
  options: Options, image: jax.Array, *, train: bool
) -> tuple[jax.Array, ...]:
  """Normalises an image and runs a module's 'backbone' on it.

  To be called inside the module's `__call__`, with its `image` and `train`.
  Returns maps [B, h, w, K] from fine to coarse, as many as `options.strides`.
  """
  o, normalized = options, normalize(options, image)
  fields = {'size': o.backbone, 'remat': o.remat, 'style': o.style}
  norms = {
    'norm': o.norm,
    'train_affine': o.train_affine,
    'momentum': o.norm_momentum,
  }
  if o.backbone in efficientnet.SIZES:
    module = efficientnet.EfficientNet
    fields |= {**norms, 'output_stride': o.output_stride}
  elif o.backbone in mit.SIZES:
    module = mit.Mit
    fields |= {'stochastic_depth': o.stochastic_depth}
  elif o.backbone in vit.BACKBONES:
    module = vit.ViT
    fields |= vit.backbone_fields(o.backbone)
    fields |= {'stochastic_depth': o.stochastic_depth}
    seen = vit.input_size(image.shape[1:3], how=o.patch_resize)
    normalized = resize.resize_half_pixel(normalized, seen)
  elif o.backbone in vgg.SIZES:
    module = vgg.Vgg
  else:
    module = resnet.ResNet
    fields |= {**norms, 'stride_at': o.stride_at}
  return module(**fields, name='backbone')(normalized, train=train)


class Backbone(nn.Module):
  """A network's backbone alone, with the parameters that it has there.

  Attributes:
    options: see `Options`.
  """

  options: Options = Options()

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns the last map [B, h, w, F] of an image [B, H, W, 3] RGB in 0..255.

    The image is shrunk first if the network sees two resolutions.
    """
    if self.options.resolutions == 'hrda':
      image = shrink_context(self.options, image)
    return run_backbone(self.options, image, train=train)[-1]


def shrink_context(options: Options, image: jax.Array) -> jax.Array:
  """Resizes [B, H, W, 3] to HRDA's context, by `context_scale` and to float."""
  size = [round(side * options.context_scale) for side in image.shape[1:3]]
  return resize.resize_half_pixel(layers.widen(image), size)


def head_norm(options: Options) -> Callable[..., nn.Module]:
  """Returns a constructor of a head's batch norm, which is always trained."""
  o = options
  return functools.partial(
    layers.BatchNorm,
    mode=o.norm,
    train_affine=True,
    momentum=o.norm_momentum,
    style=o.style,
  )


def run_aspp(
  options: Options, features: jax.Array, channels: int, name: str
) -> jax.Array:
  """Runs a module's ASPP head `name`, at least float32: [B, h, w, channels].

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


def run_neck(
  options: Options, maps: Sequence[jax.Array], *, train: bool
) -> jax.Array:
  """Returns the features [B, h, w, K] that a module's blocks and heads see.

  To be called inside the module's `__call__`. They are the last map, or all
  maps fused by DAFormer's 'neck', or the last map as enlarged by VFM-UDA's.

  Args:
    options: see `Options`.
    maps: see `run_backbone`.
    train: see `DeepLab.__call__`.
  """
  o = options
  if o.decoder == 'vfm_uda':
    return heads.VfmUpscale(style=o.style, name='neck')(maps[-1])
  if o.decoder != 'daformer':
    return maps[-1]
  return heads.DaformerFusion(
    o.decoder_width, head_norm(o), style=o.style, name='neck'
  )(maps, train=train)


def run_head(
  options: Options,
  features: jax.Array,
  channels: int,
  *,
  train: bool,
  name: str,
) -> jax.Array:
  """Runs a module's head `name`, at least float32: [B, h, w, channels].

  To be called inside the module's `__call__`.

  Args:
    options: see `Options`; `decoder` determines which head it is.
    features: see `run_neck`.
    channels: number of output channels.
    train: see `DeepLab.__call__`.
    name: name of the head's module.
  """
  o = options
  if o.decoder == 'aspp':
    return run_aspp(o, features, channels, name)
  fields = {'dropout': o.dropout, 'style': o.style, 'name': name}
  if o.decoder == 'aspp_l':
    rates = o.rates[: o.active_rates or None]
    head = heads.AsppL(channels, rates, width=o.decoder_width, **fields)
  else:
    if o.decoder == 'vfm_uda':
      fields |= {'dropout': 0.0, 'use_bias': False, 'initializer': 'vfm'}
    head = heads.Classifier(channels, **fields)
  return layers.widen(head(features, train=train))


class DeepLab(nn.Module):
  """Backbone, ASPP head, and what a method adds to them.

  Attributes:
    classes: number of classes C.
    options: see `Options`.
    multi_level: a second head, always an ASPP, on the backbone's second-to-last
      map (`aux`), ResNet's stage 3 in AdaptSegNet and ADVENT.
    depth: DADA's auxiliary block on the features that the head sees, which are
      the last stage's in all papers.
    fuse: multiply these features by what the block decodes, before the head
      (DADA section 3.1: a pure product, no residual).
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
    self, image: jax.Array, *, train: bool = False, maps: bool = False
  ) -> dict[str, Any]:
    """Returns low-resolution outputs, as the references' networks do.

    Args:
      image: [B, H, W, 3] uint8 or float RGB in 0..255; it is normalised here.
      train: use batch statistics and update the running ones (`batch_stats`);
        also drop parts at random if there is a random stream 'dropout'.
      maps: also return the backbone's maps, as 'maps'.

    Returns:
      'logits' [B, h, w, C]; with `multi_level`, 'aux' with its own h and w;
      with `depth`, 'depth' [B, h, w] in inverse depth units; with `density`,
      'density' [B, h, w].
    """
    o = self.options
    found = run_backbone(o, image, train=train)
    features = run_neck(o, found, train=train)
    outputs = {'maps': found} if maps else {}
    if self.multi_level:
      outputs['aux'] = run_aspp(o, found[-2], self.classes, 'layer5')
    if self.depth:
      outputs['depth'], factor = heads.DepthBlock(
        decode=self.fuse,
        scale=o.depth_scale,
        prefix='enc5' if self.density else 'enc4',
        style=o.style,
        name='depth',
      )(features)
    if self.density:
      outputs['density'], _ = heads.DepthBlock(
        decode=False, scale=o.depth_scale, style=o.style, name='density'
      )(features)
    if self.fuse:
      features = features * factor
    outputs['logits'] = run_head(
      o, features, self.classes, train=train, name='layer6'
    )
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
    train: whether batch statistics are used and the running ones updated.
    dropout_key: key of a training pass, for a network that draws random numbers
      (see `Options.draws`); None for a pass that drops nothing.
    features: also return the last map of the network's 'backbone',
      [B, h, w, F], as the output 'features'; that of the first call if it is
      called several times.
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
    maps, *_ = moved['intermediates']['backbone']['__call__']
    outputs = {**outputs, 'features': maps[-1]}
  return outputs, moved.get('batch_stats', batch_stats)


def _is_backbone(module: nn.Module, method: str) -> bool:
  return module.name == 'backbone' and method == '__call__'


def predict(
  module: nn.Module,
  net: Any,
  image: jax.Array,
  *,
  size: Size = None,
  restore: Restore = depth_ops.restore_depth,
) -> dict[str, jax.Array]:
  """Returns full-resolution outputs of a network with its running statistics.

  Args:
    module: a network such as `DeepLab`.
    net: its `state.Net`, or anything with params and batch_stats.
    image: [B, H, W, 3] RGB in 0..255.
    size: (h, w) of the outputs, to which they are upsampled once; None for that
      of the image; 'grid' keeps them at the network's resolution, and depth as
      the network outputs it, not in metres, as `enlarge` takes them.
    restore: the depth output's values -> metres.

  Returns:
    'logits' float32 [B, h, w, C] and, with a depth output, 'depth' float32
    [B, h, w] in metres, interpolated before `restore`, as the loss sees it;
    'depth_source' likewise, for a network with a depth decoder for each domain;
    and, with a density output, 'density' float32 [B, h, w], which is regressed
    on 0..255, see `ops.density.map_density`.
  """
  outputs, _ = run(module, net.params, net.batch_stats, image, train=False)
  if size == 'grid':
    return {k: outputs[k] for k in _PREDICTED if k in outputs}
  size = image.shape[1:3] if size is None else size
  corners = module.options.align_corners
  return enlarge(outputs, size, align_corners=corners, restore=restore)


def enlarge(
  outputs: Mapping[str, jax.Array],
  size: Sequence[int],
  *,
  align_corners: bool,
  restore: Restore = depth_ops.restore_depth,
) -> dict[str, jax.Array]:
  """Resizes what `predict` returns for size='grid': its second half.

  It is separate because a network is compiled once, but this for each size.

  Args:
    outputs: what `predict` returns with size='grid'.
    size: (h, w) of the result.
    align_corners: see `Options`.
    restore: see `predict`.
  """
  upsample = functools.partial(
    resize.resize_maps, size=tuple(size), align_corners=align_corners
  )
  result = {'logits': upsample(outputs['logits'])}
  for name in ('depth', 'depth_source'):
    if name in outputs:
      result[name] = restore(upsample(outputs[name]))
  if 'density' in outputs:
    result['density'] = upsample(outputs['density'])
  return result
