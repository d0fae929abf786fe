"""What training starts from, as `config.initial` says."""

import pathlib
from typing import Any

from jaxuda import errors
from jaxuda.weights import packaged

# Random weights, on purpose.
SCRATCH = 'scratch'
# Backbones that no paper trains from random weights.
PRETRAINED = (
  *('resnet101', 'resnet50', 'vgg16', 'vgg16_adaptsegnet'),
  *(f'mit_b{i}' for i in range(6)),
  *(f'dinov2_{size}{reg}' for size in 'sbl' for reg in ('', '_reg')),
)
# The files that the official codes start from -> who publishes them.
ORIGINS = {
  'DeepLab_resnet_pretrained_imagenet.pth': (
    'the releases of DADA and of ADVENT on GitHub have it'
  ),
  'DeepLab_resnet_pretrained_init-f81d91e8.pth': (
    'AdaptSegNet publishes it; its sha256 begins with f81d91e8'
  ),
  'resnet101COCO-41f33a49.pth': (
    'its first host is gone, mirrors keep its name; its sha256 begins with'
    ' 41f33a49'
  ),
  'vgg16-397923af.pth': (
    'torchvision has it, https://download.pytorch.org/models/vgg16-397923af.pth'
  ),
}


def is_given(initial: str | None) -> bool:
  """Returns whether `config.initial` names weights, not '' or 'scratch'."""
  return bool(initial) and initial != SCRATCH


def check(initial: str | None, method: Any) -> None:
  """Checks what training is to start from, before anything is read.

  Args:
    initial: a file of weights, the folder of a conversion or of a run,
      'imagenet' (see `packaged`), or 'scratch'; '' is 'scratch' with a small
      backbone, and if there is no network that segments.
    method: the method that is trained.

  Raises:
    UserError: it is '' with a backbone that no paper trains from random
      weights, or a path where there is nothing.
  """
  backbone = method.network.backbone if method.task is not None else ''
  if initial == '' and backbone in PRETRAINED:
    raise errors.UserError(
      f"config.initial='' with network.backbone={backbone}, which no paper"
      ' trains from random weights; expected --config.initial=FILE (or the'
      f' folder of a run), or --config.initial={SCRATCH} to do so anyway'
    )
  if initial == packaged.IMAGENET:
    packaged.find(backbone)
  elif is_given(initial):
    check_exists(initial)


def check_exists(initial: str) -> None:
  """Checks that there is something to start from.

  Raises:
    UserError: there is nothing; the message says where to get the file.
  """
  path = pathlib.Path(initial)
  if path.exists():
    return
  origin = ORIGINS.get(path.name)
  raise errors.UserError(
    f'config.initial={initial}: there is no such file or folder; expected it'
    f' there{f" ({origin})" if origin else ""}, as it is or converted'
    ' (jaxuda convert FILE --to=DIR, --config.initial=DIR), or'
    f' --config.initial={SCRATCH} to train from random weights'
  )
