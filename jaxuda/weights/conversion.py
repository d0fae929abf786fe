"""Conversion of a foreign file to a network of ours, all keys accounted for."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np

from jaxuda import errors
from jaxuda.weights import families
from jaxuda.weights import foundation
from jaxuda.weights import reading
from jaxuda.weights import renaming


class Row(NamedTuple):
  """A line of the report.

  Attributes:
    status: 'matched', 'dropped', 'other', 'guessed', 'unexpected', 'missing',
      'mismatched' or 'random'.
    keys: keys of the file; for 'missing' those that it lacks.
    note: the reason, or the consequence.
  """

  status: str
  keys: Sequence[str]
  note: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """Weights in our layout, and where they come from.

  Attributes:
    arrays: 'params/backbone/conv1/kernel' -> array.
    record: JSON types: 'family', 'title', 'file', 'sha256', 'network' (options
      that the weights require), 'structure', 'random' (what the file lacks).
    report: every key of the file, accounted for.
  """

  arrays: dict[str, np.ndarray]
  record: dict[str, Any]
  report: Sequence[Row] = ()


def convert(
  file: reading.File,
  *,
  network: str = '',
  family: str = '',
  whole: bool = False,
  partial: bool = False,
) -> Network:
  """Recognises a file's network and converts it to our layout.

  Args:
    file: the file, from `reading.read`.
    network: network of the file, see `reading.File.entry`.
    family: see `families.recognise` and `foundation.recognise`.
    whole: see `families.recognise`.
    partial: take what fits; otherwise a key that is unexpected, missing or of
      another shape is an error.

  Raises:
    UserError: the file has no such network, several of them, an unknown one,
      one that does not fit, or a number that is not finite.
  """
  entry = file.entry(network)
  stored = file.arrays(entry)
  prefix = renaming.strip_prefix(list(stored))
  state_dict = {k[len(prefix) :]: x for k, x in stored.items()}
  state_dict, found, expected = _recognise(file, state_dict, family, whole)
  kept, dropped = {}, {}
  for key, array in state_dict.items():
    reason = found.reason(key)
    if reason is None:
      kept[key] = array
    else:
      dropped.setdefault(reason, []).append(key)
  match = found.match(kept, expected)
  _check_numbers(file, kept, match)
  report = _report(file, entry, prefix, match, dropped)
  if found.guess:
    report.append(Row('guessed', (), found.guess))
  if not found.whole:
    note = 'all but the backbone, in a network that starts from it'
    report.append(Row('random', (), note))
  fitting = ('matched', 'dropped', 'other', 'guessed', 'random')
  bad = [row for row in report if row.status not in fitting]
  if bad and not partial:
    raise errors.UserError(
      f'{file.path} does not fit: {"; ".join(map(describe, bad[:4]))};'
      ' --partial takes what fits'
    )
  return Network(
    arrays={'/'.join(path): array for path, array in match.filled.items()},
    record={
      'family': found.name,
      'title': found.title,
      'file': file.path.name,
      'sha256': file.digest(),
      'of': reading.role(entry),
      'guess': found.guess,
      'network': dict(found.network),
      'structure': dict(found.structure),
      'random': sorted(
        '/'.join(path) for path in (*match.missing, *match.mismatched)
      ),
      'batches_tracked': any(k.endswith('num_batches_tracked') for k in stored),
    },
    report=report,
  )


def _recognise(file, state_dict, family, whole):
  """Returns a network's arrays by usual keys, its family and its variables."""
  try:
    state_dict = renaming.rename(state_dict)
    shapes = {k: x.shape for k, x in state_dict.items()}
    found = foundation.recognise(
      shapes,
      description=foundation.read_description(file.path),
      family=family,
    ) or families.recognise(
      shapes, wrapped=file.wrapped, family=family, whole=whole
    )
    _check_family(found, family)
    return state_dict, found, found.variables()
  except errors.UserError as e:
    raise errors.UserError(f'{file.path}: {e}') from e
  except (ArithmeticError, LookupError, TypeError, ValueError) as e:
    raise errors.UserError(
      f'{file.path}: its tensors have the shapes of no known network'
      f' ({type(e).__name__}: {e}); expected a published one'
    ) from e


def _check_family(found, family):
  """Raises UserError if keys contradict a family that they can tell apart."""
  fits = family == found.name or family in found.title.split()
  fits |= family == 'init' and not found.whole
  if family in families.ANSWERS and not fits:
    raise errors.UserError(
      f'--family={family}, but its keys are those of {found.title}; expected no'
      ' --family'
    )


def _check_numbers(file, kept, match):
  """Raises UserError if a weight is quantised or not finite."""
  for key in sorted(kept.keys() - set(match.unexpected)):
    if kept[key].dtype.kind in 'iub':
      raise errors.UserError(
        f'{file.path} has whole numbers ({kept[key].dtype}) in {key}; expected'
        ' weights in floating point: those of a quantised network need the'
        ' scales that they were divided by'
      )
  for path, array in match.filled.items():
    if not np.isfinite(array).all():
      raise errors.UserError(
        f'{file.path} has numbers that are not finite in {"/".join(path)};'
        ' expected the weights of a training that went well'
      )


def _report(file, entry, prefix, match, dropped):
  note = f'{file.kind} file, {reading.role(entry)}'
  if prefix:
    note += f', prefix {prefix!r} removed'
  others = [*(name for name in file.networks if name != entry), *file.other]
  mismatched = {
    key: f'{there} there, {here} here (HWIO); stays random'
    for key, there, here in match.mismatched.values()
  }
  rows = [
    *(Row('dropped', keys, reason) for reason, keys in dropped.items()),
    Row('other', others, 'entries of the file, not read'),
    Row('unexpected', match.unexpected),
    Row('missing', tuple(match.missing.values()), 'stays random'),
    *(Row('mismatched', (key,), note) for key, note in mismatched.items()),
  ]
  matched = Row('matched', ('',) * len(match.filled), note)
  return [matched, *(row for row in rows if row.keys)]


def describe(row: Row, *, shown: int = 4) -> str:
  """Returns a row of a report as one line.

  Args:
    row: the row.
    shown: most keys to name; other entries of the file are all named.
  """
  keys = [k for k in row.keys if k]
  shown = len(keys) if row.status == 'other' else shown
  text = f'{row.status:<10} {len(row.keys):>4}'
  if keys:
    more = f' and {len(keys) - shown} more' if len(keys) > shown else ''
    text += f'  {", ".join(keys[:shown])}{more}'
  return text + (f' ({row.note})' if row.note else '')


def left_out(weights: Network) -> str:
  """Returns one line on what of a file is not in its network; '' for nothing.

  Args:
    weights: weights that have just been converted; the report of a stored
      conversion was shown when it was made.
  """
  return '; '.join(
    ' '.join(describe(row, shown=1).split()) if row.keys else row.note
    for row in weights.report
    if row.status not in ('matched', 'random')
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
  """Weights fitted into a network.

  Attributes:
    arrays: path of every leaf of the network -> array; None if it stays random.
    random: paths of the leaves that stay random.
    unused: paths of the weights for which the network has no place.
  """

  arrays: dict[str, np.ndarray | None]
  random: list[str]
  unused: list[str]


def fit(
  weights: Network, expected: Mapping[str, Any], *, whole: bool = False
) -> Fit:
  """Fits weights into a network by path and shape.

  The backbone must fit as it is, except for fc6 and fc7 of a VGG-16 if the
  weights have none. The rest may stay random: a head for another number of
  classes, or a branch that the weights do not have.

  Args:
    weights: weights from `convert` or `converted.read`.
    expected: path 'params/...' -> array or ShapeDtypeStruct, the whole network.
    whole: True if nothing may stay random.

  Raises:
    UserError: the backbone or, with `whole`, anything else does not fit.
  """
  file, guess = weights.record['file'], weights.record.get('guess', '')
  guess = guess and f'; {guess}'
  arrays = {}
  for path, leaf in expected.items():
    array = weights.arrays.get(path)
    fits = array is not None and array.shape == tuple(leaf.shape)
    if not fits and (whole or _must_fit(path, array)):
      there = 'nothing' if array is None else f'{list(array.shape)}'
      raise errors.UserError(
        f'{file} ({weights.record["title"]}) has {there} for {path}; the'
        f' network of the config expects {list(leaf.shape)}{guess}'
      )
    arrays[path] = array.astype(leaf.dtype) if fits else None
  if 'backbone' not in modules(expected):
    raise errors.UserError(
      f'{file} has no network that a config can start from'
    )
  return Fit(
    arrays=arrays,
    random=[path for path, array in arrays.items() if array is None],
    unused=[path for path in weights.arrays if arrays.get(path) is None],
  )


# What AdaptSegNet counts as part of its VGG-16 backbone, and ImageNet's weights
# have only as layers of another shape.
_FULLY = ('fc6', 'fc7')


def _must_fit(path, array):
  _, module, layer = path.split('/')[:3]
  return module == 'backbone' and (layer not in _FULLY or array is not None)


# What a DINOv2 file may have and a backbone may not: it masks no patches.
_TOKENS = ('mask_token', 'register_tokens')

# Options that a backbone's weights depend on.
INPUT = ('stride_at', 'image_order', 'image_mean', 'image_scale')

# A leaf of an ASPP or ASPP-L head.
_ASPP = re.compile(r'[^/]+/[^/]+/(conv\d+_(kernel|bias)|fc[678]_\d+/\w+)')


def depended_on(paths: Iterable[str]) -> list[str]:
  """Returns the options that weights depend on and no shape tells.

  Args:
    paths: paths of the weights, 'params/layer6/conv0_kernel'.
  """
  named = {path: path.split('/')[1] for path in paths}
  aspp = (_ASPP.fullmatch(x) for x, name in named.items() if name != 'backbone')
  fields = [*INPUT]
  if any(aspp):
    fields += ['active_rates', 'rates']
  if any('depth' in name or name == 'density' for name in named.values()):
    fields.append('depth_scale')
  return fields


def differing(weights: Network, options: Any) -> dict[str, Any]:
  """Returns the options in which a network differs from what weights require.

  Args:
    weights: see `Network`.
    options: the network's `deeplab.Options`.

  Returns:
    field -> the value that the weights require.
  """
  return compare(weights.record['network'], options)


def compare(needed: Mapping[str, Any], options: Any) -> dict[str, Any]:
  """Returns the fields of `needed` that options have another value of.

  Args:
    needed: field of `deeplab.Options` -> value.
    options: the network's `deeplab.Options`.
  """
  result = {}
  for field, value in needed.items():
    here = getattr(options, field)
    if field == 'active_rates':
      # 0 is all of them, however they are counted.
      rates = needed.get('rates', options.rates)
      if (value or len(rates)) == (here or len(options.rates)):
        continue
    several, same = isinstance(value, list | tuple), value == here
    if several and len(value) == len(here):
      same = np.allclose(value, here, rtol=1e-4)
    if not same:
      result[field] = tuple(value) if several else value
  return result


def modules(paths: Iterable[str]) -> list[str]:
  """Returns the modules of paths: 'layer6' once for its eight leaves.

  In the backbone, fc6, fc7 and tokens have names of their own.
  """
  parts = (path.split('/')[1:3] for path in paths)
  return sorted({b if b in (*_FULLY, *_TOKENS) else a for a, b in parts})
