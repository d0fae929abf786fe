"""Programs to compile for an accelerator, as the flags of `aot` name them."""

import dataclasses
from typing import Any

import benchmark

from accelerator import chips
from accelerator import settings
from jaxuda import errors
from jaxuda import methods
from jaxuda.run import own_classes
from jaxuda.ui import command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """A program to compile; the fields are the flags of the same names."""

  method: str
  topology: str
  dtype: str
  batch: int
  remat: bool
  program: str
  rewrites: str
  norm: str
  arguments: str
  backbone: str
  source: str
  target: str

  def configure(self) -> Any:
    """Returns the config of the program.

    Raises:
      UserError: a value is unknown or out of range.
    """
    arguments = self.arguments or settings.PAPERS.get(self.method, '')
    config = command.read_config(f'{self.method}:{arguments}')
    if not arguments:
      raise errors.UserError(
        f'--method={self.method} without --arguments; expected those of its'
        ' config, such as --arguments=pair=gta2cityscapes'
      )
    config = own_classes.count(config)
    config.batch_size = self.batch or config.batch_size
    network = {'dtype': self.dtype, 'remat': self.remat}
    network |= {'norm': self.norm} if self.norm else {}
    network |= {'backbone': self.backbone} if self.backbone else {}
    config.network = {
      **config.network.to_dict(),
      **network,
      **benchmark.parse_rewrites(self.rewrites),
    }
    for name in ('source', 'target'):
      if getattr(self, name):
        config.data[name].size = benchmark.parse_size(getattr(self, name))
        config.data[name].crop = (0, 0)
    return config

  def check(self) -> None:
    """Checks the case before anything is compiled.

    Raises:
      UserError: a value is unknown or out of range.
      SystemExit: the topology or a rewrite is unknown.
    """
    methods.create(self.configure())
    if self.topology != 'cuda':
      chips.check(self.topology)

  def make(self) -> tuple[Any, Any, dict[str, tuple[int, int]]]:
    """Returns the method, a random batch for one chip, and the sizes."""
    config = self.configure()
    method, sizes = settings.make_method(config), benchmark.sizes_of(config)
    batch = benchmark.make_batch(
      *(method.needs, sizes),
      batch_size=config.batch_size,
      classes=config.num_classes,
    )
    return method, batch, sizes
