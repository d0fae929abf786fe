"""What a table is made of: rows that are trained, and rows that are quoted.

A row is a config, its arguments, and the figures that the paper reports under
the names of `jaxuda evaluate`, for each pair. Means are in percent; `IoU` is a
mapping, class -> percent.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from configs.parts import pairs

TRAIN = 'jaxuda.main'
DEPDIS = 'jaxuda.depdis.run'

S2C = 'synthia2cityscapes'
S2C_LOW = 'synthia2cityscapes_low'
S2M = 'synthia2mapillary'
S2M_LOW = 'synthia2mapillary_low'
GTA = 'gta2cityscapes'
KITTI = 'vkitti2kitti'

# A source of quoted figures.
CTRL_README = "CTRL's README"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Before:
  """A run that a row needs before its own.

  Attributes:
    row: the row of that run; if it is in the table, it is trained only once.
    field: field of the later row's config that is set to the run's folder.
  """

  row: 'Row'
  field: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of a table.

  Attributes:
    label: name of the row.
    config: name of a file in the folder of the configs; '' for a row that is
      quoted.
    arguments: arguments of the config other than pair and classes.
    by_pair: pair -> further arguments.
    overrides: flags of the row, '--config.field=value'.
    pair_overrides: pair -> further flags.
    fixed: flags that are not replaced by those given to every run.
    module: module of the command that trains the row.
    before: the run that must come before, or None.
    paper: pair -> figure -> value.
    quoted: where the figures of a row without a config are quoted from.
    without_depth: label of the row that is the same method without depth: the
      difference to it is the gain from depth ("D-gain").
    pairs: pairs on which the row exists; () for all.
  """

  label: str
  config: str = ''
  arguments: str = ''
  by_pair: Mapping[str, str] = dataclasses.field(default_factory=dict)
  overrides: tuple[str, ...] = ()
  pair_overrides: Mapping[str, tuple[str, ...]] = dataclasses.field(
    default_factory=dict
  )
  fixed: tuple[str, ...] = ()
  module: str = TRAIN
  before: Before | None = None
  paper: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict
  )
  quoted: str = ''
  without_depth: str = ''
  pairs: tuple[str, ...] = ()

  def __post_init__(self):
    if bool(self.config) == bool(self.quoted):
      raise ValueError(
        f'row {self.label}: config={self.config!r}, quoted={self.quoted!r};'
        ' expected one of the two'
      )


SOURCE_ONLY = Row(
  label='source-only',
  config='source_only.py',
  fixed=('--config.method.statistics=source',),
)
# AdaBN (Li et al., 2016): the source-only network with running statistics of
# target images, as those of the adversarial methods are on small pairs.
TARGET_STATISTICS = Row(
  label='source-only + target statistics',
  config='source_only.py',
  arguments='statistics=target',
  fixed=('--config.method.statistics=target',),
)


_BASELINES = dict.fromkeys(pairs.SMALL, (SOURCE_ONLY, TARGET_STATISTICS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """A table of a paper, or a figure that is drawn from runs.

  Attributes:
    what: description in one line.
    paper: authors and venue.
    pairs: pairs of the paper; the first is the default.
    rows: rows in the paper's order; the others are compared with the first.
    classes: the class set; '' for the pair's default.
    other_names: other names of the table, such as its number in the paper.
    baselines: pair -> rows that come in front of the others on it. All rows are
      compared with each of them.
    against: label of the row against which negative transfer is counted; '' for
      a table without.
    shows: what it shows besides mean IoUs: 'IoU' of each class, 'depth' errors.
    commands: commands that follow the training, `jaxuda VERB --flag=value`.
      '{LABEL}' is the folder of a row's run with the first seed, '{out}' that
      of what is drawn.
  """

  what: str
  paper: str
  pairs: tuple[str, ...]
  rows: tuple[Row, ...]
  classes: str = ''
  other_names: tuple[str, ...] = ()
  baselines: Mapping[str, tuple[Row, ...]] = dataclasses.field(
    default_factory=lambda: _BASELINES
  )
  against: str = ''
  shows: tuple[str, ...] = ()
  commands: tuple[str, ...] = ()


def quote(label: str, source: str, *, without_depth: str = '', **paper) -> Row:
  """Returns a row of another method that is not trained here.

  Args:
    label: name of the row.
    source: what the figures are quoted from.
    without_depth: see `Row`.
    **paper: pair -> figure -> value.
  """
  return Row(
    label=label, quoted=source, without_depth=without_depth, paper=paper
  )


def means16(m16: float | None, m13: float | None = None) -> dict[str, float]:
  """Returns the mean IoUs over SYNTHIA's 16 and 13 classes that are known."""
  figures = {'mIoU16': m16, 'mIoU13': m13}
  return {name: value for name, value in figures.items() if value is not None}


def cityscapes(
  m16: float | None, m13: float | None = None
) -> dict[str, dict[str, float]]:
  """Returns `means16` as the figures of SYNTHIA -> Cityscapes."""
  return {S2C: means16(m16, m13)}


# The 16-class rows that several papers have.
ADVENT = Row(label='AdvEnt', config='advent.py', paper=cityscapes(40.8, 47.6))
DADA = Row(
  label='DADA',
  config='dada.py',
  paper=cityscapes(42.6, 49.8),
  without_depth='AdvEnt',
)
