"""Tables of scores, with a row for each figure.

A column is a run, or several runs of one config that differ in their seeds.
Scores are read from scores.json; nothing is evaluated. Needs no TF.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import pathlib
import statistics
from typing import Any

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib

# Fields that must agree for two figures to be comparable.
PROTOCOL = ('classes', 'dataset', 'split', 'images', 'label_resolution')
# In the order in which they are shown. 'IoU' is that of a single class.
KINDS = ('IoU', 'mIoU', 'depth', 'negative')


@dataclasses.dataclass(frozen=True)
class Mean:
  """A mean over seeds; for a single run, its value.

  Attributes:
    value: the mean; NaN without any seed.
    deviation: sample standard deviation (n - 1); NaN with fewer than two seeds.
    count: number of seeds.
  """

  value: float
  deviation: float
  count: int

  def show(self, *, sign: str = '') -> str:
    """Returns '26.00 +- 3.00', '26.00' for a single seed, '-' for none.

    With sign='+' positive values show their sign, too.
    """
    if math.isnan(self.value):
      return '-'
    text = f'{self.value:{sign}.2f}'
    deviation = self.deviation
    return text if math.isnan(deviation) else f'{text} +- {deviation:.2f}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A figure in all columns.

  Attributes:
    kind: one of `KINDS`.
    name: name of a class, a mean or an error.
    subset: names of the classes that the figure covers.
    means: column -> mean over its seeds.
    differences: column -> mean of the differences from the first column, over
      the seeds that both have; the first column has none.
  """

  kind: str
  name: str
  subset: tuple[str, ...]
  means: dict[str, Mean]
  differences: dict[str, Mean]

  def show(self, *, differences: bool = False) -> list[str]:
    """Returns the name, the means and, if asked for, the differences."""
    cells = [self.name, *(mean.show() for mean in self.means.values())]
    if differences:
      cells += [mean.show(sign='+') for mean in self.differences.values()]
    return cells


def average(values: Sequence[float]) -> Mean:
  """Returns the mean of a figure over seeds."""
  return Mean(
    statistics.fmean(values) if values else math.nan,
    statistics.stdev(values) if len(values) > 1 else math.nan,
    len(values),
  )


def make_table(
  columns: Mapping[str, Mapping[int, Mapping[str, Any]]],
  *,
  counts: bool = False,
) -> list[Row]:
  """Returns the rows of all figures that any column has, kind by kind.

  Args:
    columns: column -> seed -> the figures of a run; see `read_figures`.
    counts: whether pixel counts, which are not scores, get rows, too.
  """
  values, subsets = {}, {}
  for column, runs in columns.items():
    for seed, figures in runs.items():
      for key, value, subset in _list_figures(figures, counts):
        subsets.setdefault(key, subset)
        by_column = values.setdefault(key, {name: {} for name in columns})
        if value is not None:
          by_column[column][seed] = value
  rows = []
  for kind, name in sorted(values, key=lambda key: KINDS.index(key[0])):
    by_column = values[kind, name]
    first, *others = by_column
    reference = by_column[first]
    differences = {
      column: [
        value - reference[seed]
        for seed, value in by_column[column].items()
        if seed in reference
      ]
      for column in others
    }
    rows.append(
      Row(
        kind=kind,
        name=name,
        subset=subsets[kind, name],
        means={k: average([*v.values()]) for k, v in by_column.items()},
        differences={k: average(v) for k, v in differences.items()},
      )
    )
  return rows


def _list_figures(figures, counts):
  """Yields ((kind, name), value or None, classes) for each figure of a run."""
  for name, value in figures['IoU']['value'].items():
    yield ('IoU', name), value, (name,)
  for name, figure in figures.items():
    kind = next((kind for kind in KINDS[1:] if name.startswith(kind)), None)
    if kind and (counts or figure.get('unit') != 'pixels'):
      yield (kind, name), figure['value'], tuple(figure.get('subset', ()))


def show_rows(rows: Sequence[Row], *, differences: bool = False) -> list:
  """Returns the cells of `make_table`'s rows for `display.print_table`.

  Kinds are separated by a line. The differences from the first column follow
  the means if asked for.
  """
  cells = []
  for i, row in enumerate(rows):
    if i and row.kind != rows[i - 1].kind:
      cells.append([])
    cells.append(row.show(differences=differences))
  return cells


def unique_names(workdirs: Sequence[str]) -> list[str]:
  """Returns the shortest suffixes that tell the paths apart.

  Raises:
    UserError: a folder is given twice, or none is.
  """
  if not workdirs:
    raise errors.UserError('no folder of a run is given; expected at least one')
  paths = [pathlib.Path(w).absolute().parts for w in workdirs]
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise errors.UserError(f'{workdirs[i]} is given twice; expected it once')
  for length in range(1, max(map(len, paths), default=0) + 1):
    names = ['/'.join(path[-length:]) for path in paths]
    if len(set(names)) == len(names):
      break
  return names


def read_figures(workdir: str, *, checkpoint: str) -> dict[str, Any]:
  """Returns the figures of the 'last' or the 'best' checkpoint of a run.

  Raises:
    UserError: the run has not been evaluated, or its target has no labels.
  """
  scores = workdir_lib.read_scores(workdir)
  if checkpoint not in scores:
    raise errors.UserError(
      f'{pathlib.Path(workdir) / "scores.json"} has no {checkpoint!r}; expected'
      ' the workdir of a run that has been evaluated'
    )
  figures = scores[checkpoint]['figures']
  if 'IoU' not in figures:
    raise errors.UserError(
      f'{pathlib.Path(workdir) / "scores.json"} has no scores: the target has'
      ' no labels; expected a run whose eval_split has some'
    )
  return figures


def read_protocol(figures: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the fields that must agree between runs, from one's figures."""
  # Without labels there is no IoU.
  figure = figures.get('IoU') or next(iter(figures.values()))
  return {field: figure[field] for field in PROTOCOL}


def check_protocols(runs: Mapping[str, Mapping[str, Any]]) -> None:
  """Checks that all runs, name -> figures, were scored in the same way.

  Raises:
    UserError: they were not; names the first field that differs.
  """
  protocols = {name: read_protocol(figures) for name, figures in runs.items()}
  for name, protocol in protocols.items():
    first = next(iter(protocols))
    for field, ours in protocol.items():
      if ours != protocols[first][field]:
        raise errors.UserError(
          f'{name} was scored with {field}={ours}, {first} with'
          f' {protocols[first][field]}; expected the same'
        )


def describe_protocol(protocol: Mapping[str, Any], *, times: str = 'x') -> str:
  """Returns a protocol as 'streets/target val, 150 images at 160x320'.

  Its fields are those of `PROTOCOL`; `times` separates height and width.
  """
  size = format_size(protocol['label_resolution'], times=times)
  return (
    f'{protocol["dataset"]} {protocol["split"]}, {protocol["images"]} images'
    f' at {size}'
  )


def format_size(size: Sequence[Any], *, times: str = 'x') -> str:
  """Returns [height, width] in pixels as '160x320'.

  For a list of sizes it returns the first one and the number of the others.
  `times` separates height and width.
  """
  if isinstance(size[0], int):
    return times.join(map(str, size))
  first = format_size(size[0], times=times)
  return f'{first} and {len(size) - 1} other sizes'
