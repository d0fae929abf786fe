"""Options of how a task network is built and run."""

from collections.abc import Sequence
import dataclasses
from typing import Literal

import jax.numpy as jnp

from jaxuda import errors
from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib
from jaxuda.models.backbones import efficientnet
from jaxuda.models.backbones import mit
from jaxuda.models.backbones import resnet
from jaxuda.models.backbones import vgg
from jaxuda.models.backbones import vit
from jaxuda.ops import image as image_ops

_BACKBONES = (
  *(*resnet.SIZES, *efficientnet.SIZES, *vgg.SIZES, *mit.SIZES),
  *vit.BACKBONES,
)

# Fields that do nothing with one resolution. The others, sizes in pixels, may
# stay as configs of two resolutions set them.
_OF_HRDA = (
  *('context_scale', 'detail_overlap', 'detail_weight', 'scale_attention'),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Options of how a network is built and run (`config.network`).

  Attributes:
    backbone: 'resnet101' (all papers but GIO-Ada), 'resnet50', 'resnet_small'
      (for CPUs, from scratch), 'efficientnet_lite0' (for CPUs, with ImageNet's
      weights: `config.initial=imagenet`), 'vgg16' (GIO-Ada's), and
      'vgg16_adaptsegnet' (with the pooling and the dilated fc6 and fc7 of
      AdaptSegNet); 'mit_b0' to 'mit_b5' (SegFormer's encoders; DAFormer has the
      last); 'dinov2_s', 'dinov2_b' and 'dinov2_l' (VFM-UDA's), and with
      registers 'dinov2_s_reg' and so on.
    decoder: what turns features into outputs. 'aspp': DeepLab's for ResNet, on
      the backbone's last map; 'aspp_l': DeepLab's for VGG, on the same map;
      'daformer': all maps are fused into one of the finest one's size, which
      the heads see, see `heads.DaformerFusion`; 'vfm_uda': VFM-UDA's for a
      transformer, the last map enlarged four times, see `heads.VfmUpscale`.
    decoder_width: channels inside 'aspp_l' (1024 in DeepLab) and of the fused
      map of 'daformer' (256 in DAFormer).
    dropout: probability of dropout in 'aspp_l' and 'daformer': 1/2 in DeepLab,
      0.1 in DAFormer.
    stochastic_depth: probability that a residual branch is dropped in training:
      in a MiT that of the last block, rising from 0 at the first (0.1 in
      SegFormer); in a DINOv2 that of all blocks (0 in VFM-UDA).
    patch_resize: how an image of any size is resized for a DINOv2, whose
      patches are squares of 14 pixels: 'grow': enlarged by nearly 1.1 (1024 to
      1120), as in VFM-UDA; 'round': to the nearest multiple of 14. Both are
      bilinear.
    output_stride: pixels between the features of the backbone's last map; 8 in
      all papers; with an EfficientNet also 16 and 32, which cost less. A MiT
      has strides of its own, 4 to 32, and a DINOv2 that of its patches.
    stride_at: which convolution of a residual block has its stride: 'conv1'
      (Caffe, all papers) or 'conv2' (torchvision's weights).
    norm: statistics of the batch norms in training: 'batch' (per device, the
      references), 'sync' (over all devices), 'frozen' (the running ones); or
      'none': scale and bias without statistics, so that the target's play no
      part (the small ResNet learns this way, too, only more slowly).
    norm_momentum: weight of new statistics in the norms' running ones, 0..1;
      0.1 in all references, 0.01 in EfficientNet's training.
    train_affine: train the norms' scale and bias; the references freeze them.
      In a network trained from scratch they should be trained.
    resolutions: 'one'; or 'hrda': the network sees the whole image at low
      resolution and a part of it at high resolution, see `models.hrda`, to
      which the next fields belong.
    detail_crop: (h, w) of the part in pixels, limited to the image's.
    context_scale: factor of the size at which the whole image is seen, 1
      divided by a whole number.
    detail_overlap: whether the parts with which a teacher or a prediction
      covers the whole image at high resolution are half of one apart (HRDA), so
      that most pixels are seen in several, or side by side.
    detail_weight: weight of the part's own cross entropy, 0..1.
    scale_attention: what weights the two resolutions at every pixel: a learnt
      attention for each class ('classes') or one for all ('single'), or
      nothing: each counts as 1/2 ('fixed').
    window: (h, w) in pixels of the windows in which a larger image is
      predicted, each half of one apart; the size of the training crops.
    init: kernel initialiser: 'reference' N(0, 0.01), 'he', 'torch', or 'mmcv':
      that of DAFormer and HRDA, see `layers.before_norm`.
    rates: dilations of the ASPP heads.
    active_rates: how many of them are used, from the first; 0 for all.
    depth_scale: factor of the outputs of the depth and the density block, 1 in
      the official code, see `heads.DepthBlock`.
    image_order: 'bgr' (Caffe weights, all papers) or 'rgb'.
    image_mean: subtracted per channel, in that order, in the range 0..255.
    image_scale: factor per channel, applied after that.
    dtype: type that the layers compute in; parameters, statistics and losses
      stay in float32 (float64 keeps everything in float64, and JAX needs
      JAX_ENABLE_X64=1 in the environment for it).
    remat: recompute each block in the backward pass: half the memory, a third
      more operations, the same results.
    dot_1x1, dot_wgrad, barriers, aspp_dot, shift_depthwise: exact rewrites,
      'on', 'off', or 'auto' for those that pay off on the platform, see
      `rewrites.Rewrites`; the results are the same up to the order of
      additions.
  """

  backbone: str = 'resnet101'
  decoder: Literal['aspp', 'aspp_l', 'daformer', 'vfm_uda'] = 'aspp'
  decoder_width: int = 256
  dropout: float = 0.1
  stochastic_depth: float = 0.1
  patch_resize: Literal['grow', 'round'] = 'grow'
  output_stride: Literal[8, 16, 32] = 8
  stride_at: Literal['conv1', 'conv2'] = 'conv1'
  norm: Literal['batch', 'sync', 'frozen', 'none'] = 'batch'
  norm_momentum: float = 0.1
  train_affine: bool = False
  resolutions: Literal['one', 'hrda'] = 'one'
  detail_crop: Sequence[int] = (512, 512)
  context_scale: float = 0.5
  detail_overlap: bool = True
  detail_weight: float = 0.1
  scale_attention: Literal['classes', 'single', 'fixed'] = 'classes'
  window: Sequence[int] = (1024, 1024)
  init: Literal['reference', 'he', 'torch', 'mmcv'] = 'reference'
  rates: Sequence[int] = (6, 12, 18, 24)
  active_rates: int = 0
  depth_scale: float = 1.0
  image_order: Literal['bgr', 'rgb'] = 'bgr'
  image_mean: Sequence[float] = image_ops.CAFFE_MEAN
  image_scale: Sequence[float] = (1.0, 1.0, 1.0)
  dtype: Literal['float32', 'bfloat16', 'float64'] = 'float32'
  remat: bool = False
  dot_1x1: rewrites_lib.Switch = 'auto'
  dot_wgrad: rewrites_lib.Switch = 'auto'
  barriers: rewrites_lib.Switch = 'auto'
  aspp_dot: rewrites_lib.Switch = 'auto'
  shift_depthwise: rewrites_lib.Switch = 'auto'

  def __post_init__(self):
    # Lists (from a config file) would make the options unhashable.
    lists = ('rates', 'image_mean', 'image_scale', 'detail_crop', 'window')
    for field in lists:
      object.__setattr__(self, field, tuple(getattr(self, field)))
    for field in dataclasses.fields(rewrites_lib.Rewrites):
      switch = rewrites_lib.read_switch(getattr(self, field.name))
      object.__setattr__(self, field.name, switch)
    if self.backbone not in _BACKBONES:
      raise errors.UserError(
        f'unknown backbone {self.backbone!r}; expected one of'
        f' {", ".join(_BACKBONES)}'
      )
    errors.check_choices(self, group='network')
    lengths = {'image_mean': 3, 'image_scale': 3, 'detail_crop': 2, 'window': 2}
    errors.check_vectors(self, lengths, group='network')
    shares = ('norm_momentum', 'dropout', 'stochastic_depth', 'detail_weight')
    ranges = {
      **dict.fromkeys(shares, (0, 1)),
      'depth_scale': (0, None),
      'decoder_width': (1, None),
    }
    errors.check_ranges(self, ranges, group='network')
    if self.output_stride != 8 and self.backbone not in efficientnet.SIZES:
      raise errors.UserError(
        f'network.output_stride={self.output_stride}; expected 8 with'
        f' network.backbone={self.backbone}'
      )
    # A cell of both resolutions begins with an output of each.
    if not 0 < self.context_scale <= 1 or self.cell % self._stride:
      raise errors.UserError(
        f'network.context_scale={self.context_scale}; expected 1 divided by a'
        ' whole number, such as 1, 0.5 or 0.25'
      )
    if self.resolutions == 'hrda':
      self._check_grid()
    else:
      self._check_one()
    for field in ('detail_crop', 'window'):
      self.check_sides(getattr(self, field), f'network.{field}')
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

  @property
  def strides(self) -> tuple[int, ...]:
    """Pixels between the features of the backbone's maps, from fine to coarse.

    `deeplab.run_backbone` returns as many maps. For a DINOv2 they are pixels of
    the resized image.
    """
    if self.backbone in efficientnet.SIZES:
      return efficientnet.strides(self.backbone, self.output_stride)
    if self.backbone in vit.BACKBONES:
      return vit.STRIDES
    return mit.STRIDES if self.backbone in mit.SIZES else resnet.STRIDES

  @property
  def cell(self) -> float:
    """Pixels of the image between outputs for its context (HRDA)."""
    return self._stride / self.context_scale

  @property
  def _stride(self):
    """Pixels between the features that the heads see, but for VFM-UDA's."""
    return self.strides[0 if self.decoder == 'daformer' else -1]

  def _check_one(self):
    """Checks that HRDA's ablations are not asked of one resolution."""
    for field in _OF_HRDA:
      value, default = getattr(self, field), getattr(Options, field)
      if value != default:
        raise errors.UserError(
          f'network.{field}={value}; expected {default} with'
          ' network.resolutions=one'
        )

  def _check_grid(self):
    """Checks that the outputs of an image's part are a part of its outputs."""
    whole, part = (self.grid_size((n * int(self.cell),) * 2) for n in (8, 4))
    if whole[0] - part[0] != 4 / self.context_scale:
      other = 'network.patch_resize=round and network.decoder=daformer, or '
      other = other if self.backbone in vit.BACKBONES else ''
      raise errors.UserError(
        f'network.resolutions=hrda; expected {other}one with network.backbone'
        f'={self.backbone} and network.decoder={self.decoder}, whose outputs'
        ' for a part of an image are not part of those for the whole image'
      )

  def check_sides(self, size: Sequence[int], what: str) -> None:
    """Checks that sides in pixels are whole numbers of cells, where required.

    Raises:
      UserError: they are not; `what` says whose they are.
    """
    wrong = any(side < self.cell or side % self.cell for side in size)
    if self.resolutions == 'hrda' and wrong:
      raise errors.UserError(
        f'{what}={tuple(size)}; expected multiples of {self.cell:.0f} with'
        ' network.resolutions=hrda'
      )

  @property
  def align_corners(self) -> bool:
    """Whether outputs are resized by their corners (DeepLab) or half pixels."""
    return self.decoder in ('aspp', 'aspp_l')

  @property
  def has_statistics(self) -> bool:
    """Whether a norm of the backbone or the decoder has running statistics."""
    without = self.backbone in (*vgg.SIZES, *mit.SIZES, *vit.BACKBONES)
    there = self.decoder == 'daformer' or not without
    return there and self.norm != 'none'

  @property
  def draws(self) -> bool:
    """Whether a training pass draws random numbers."""
    drops = self.decoder in ('aspp_l', 'daformer') and self.dropout
    residuals = self.backbone in (*mit.SIZES, *vit.BACKBONES)
    drops = drops or (residuals and self.stochastic_depth)
    return bool(drops or self.resolutions == 'hrda')

  def grid_size(self, size: Sequence[int]) -> tuple[int, int]:
    """Returns (h, w) of the outputs of `DeepLab` for images of (H, W)."""
    stride = self._stride
    if self.backbone in resnet.SIZES:
      h, w = resnet.grid_size(size, stride)
    elif self.backbone in vgg.SIZES:
      h, w = vgg.grid_size(size, stride, name=self.backbone)
    else:
      if self.backbone in vit.BACKBONES:
        size = vit.input_size(size, how=self.patch_resize)
      # Padded so that a map shrinks by its stride alone.
      h, w = (-(-side // stride) for side in size)
    factor = 4 if self.decoder == 'vfm_uda' else 1
    return factor * h, factor * w
