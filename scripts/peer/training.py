"""The official DADA training step in PyTorch."""

from collections.abc import Mapping, Sequence
import math

import torch
from torch.nn import functional

from peer import networks
from peer import shapes

_POWER = 0.9
_TOTAL_STEPS = 90000
_LAMBDA_DEPTH = 1e-3
_LAMBDA_ADV = 1e-3
_SOURCE, _TARGET = 0.0, 1.0


def berhu(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
  """Returns the reverse Huber loss; its bend is 1/5 of the largest error."""
  error = (prediction - truth).abs()
  bend = error.max().detach() / 5
  beyond = (error**2 + bend**2) / (2 * bend)
  return torch.where(error <= bend, error, beyond).mean()


def information(logits: torch.Tensor) -> torch.Tensor:
  """Returns the self-information of a segmentation, by class."""
  p = functional.softmax(logits, dim=1)
  return -p * torch.log2(p + 1e-30) / math.log2(logits.shape[1])


def _against(logits, value):
  return functional.binary_cross_entropy_with_logits(
    logits, torch.full_like(logits, value)
  )


class Trainer:
  """Both networks with their optimizers, and a training step.

  Attributes:
    task, disc: the networks.
  """

  def __init__(
    self,
    classes: int = 16,
    counts: Sequence[int] = shapes.BLOCKS,
    *,
    device: str = 'cpu',
    dtype: torch.dtype = torch.float32,
    autocast: bool = False,
    channels_last: bool = False,
  ):
    """Builds the networks with random weights.

    Args:
      classes: number of classes.
      counts: number of bottlenecks per stage; the default is ResNet-101.
      device: 'cuda' or 'cpu'.
      dtype: dtype of the parameters.
      autocast: whether to compute the networks in bfloat16.
      channels_last: whether to lay out images and kernels channels-last.
    """
    self._device, self._autocast = device, autocast
    self.task = networks.DeepLab(classes, counts).to(device, dtype).train()
    self.disc = networks.discriminator(classes).to(device, dtype).train()
    if channels_last:
      for net in (self.task, self.disc):
        net.to(memory_format=torch.channels_last)
    heads = [
      p
      for name in self.task.head_names()
      for p in getattr(self.task, name).parameters()
    ]
    known = set(map(id, heads))
    backbone = [
      p
      for p in self.task.parameters()
      if p.requires_grad and id(p) not in known
    ]
    # Each parameter once. The official list names most of them three or four
    # times, which costs more steps of the optimizer: jaxuda takes them.
    self._sgd = torch.optim.SGD(
      [{'params': backbone}, {'params': heads}],
      lr=2.5e-4,
      momentum=0.9,
      weight_decay=5e-4,
    )
    self._adam = torch.optim.Adam(
      self.disc.parameters(), lr=1e-4, betas=(0.9, 0.99)
    )
    self._step = 0

  def _set_rates(self):
    decay = (1 - self._step / _TOTAL_STEPS) ** _POWER
    for group, factor in zip(self._sgd.param_groups, (1, 10), strict=True):
      group['lr'] = 2.5e-4 * factor * decay
    self._adam.param_groups[0]['lr'] = 1e-4 * decay

  def _run(self, net, *args):
    # Losses and upsampling stay in float32, as ours do.
    with torch.autocast(
      self._device, dtype=torch.bfloat16, enabled=self._autocast
    ):
      found = net(*args)
    if isinstance(found, tuple):
      return tuple(self._widened(x) for x in found)
    return self._widened(found)

  def _widened(self, x):
    return x.float() if self._autocast else x

  def _full(self, image):
    logits, depth = self._run(self.task, image)
    size = image.shape[2:]
    return networks.upsample(logits, size), networks.upsample(depth, size)

  def gradients(
    self, batch: Mapping[str, torch.Tensor]
  ) -> dict[str, torch.Tensor]:
    """Leaves the step's gradients in the parameters and returns the losses.

    Args:
      batch: 'source_image' [B, 3, H, W], normalised; 'label' [B, H, W], int64,
        255 = ignore; 'inverse_depth' [B, H, W]; 'target_image' [B, 3, h, w].
    """
    self._sgd.zero_grad(set_to_none=True)
    self._adam.zero_grad(set_to_none=True)
    losses = {}
    self.disc.requires_grad_(False)
    logits, depth = self._full(batch['source_image'])
    losses['loss_seg'] = functional.cross_entropy(
      logits, batch['label'], ignore_index=255
    )
    losses['loss_depth'] = berhu(depth[:, 0], batch['inverse_depth'])
    (losses['loss_seg'] + _LAMBDA_DEPTH * losses['loss_depth']).backward()
    source_maps = (information(logits.detach()) * depth.detach()).detach()
    logits, depth = self._full(batch['target_image'])
    target_maps = information(logits) * depth
    losses['loss_adv'] = _against(self._run(self.disc, target_maps), _SOURCE)
    (_LAMBDA_ADV * losses['loss_adv']).backward()
    self.disc.requires_grad_(True)
    for name, maps, value in (
      ('loss_d_source', source_maps, _SOURCE),
      ('loss_d_target', target_maps.detach(), _TARGET),
    ):
      losses[name] = _against(self._run(self.disc, maps), value)
      losses[name].backward()
    return {k: v.detach() for k, v in losses.items()}

  def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Takes a step and returns the losses without waiting for them."""
    losses = self.gradients(batch)
    self._set_rates()
    self._sgd.step()
    self._adam.step()
    self._step += 1
    return losses
