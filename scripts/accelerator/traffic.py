"""Counts the bytes that a TPU program moves, by the memory that they lie in.

The compiler's own count of bytes does not tell the chip's fast memory (VMEM,
`S(1)` in XLA's text) from its large one (HBM), and so counts a map that is
fetched ahead three times: out of one, into the other, and where it is used.
"""

import collections
import math
import re
from typing import NamedTuple

# Sizes in bytes, under XLA's names; 4 for all others.
_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's64': 8, 'f64': 8}
_ARRAY = re.compile(r'\b([a-z]+[0-9]*)\[([0-9,]*)\](\{[^}]*\})?')
_INSTRUCTION = re.compile(
  r'\s*(?:ROOT )?(%[\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)'
)
_PLACES = {'0': 'hbm', '1': 'vmem'}
# They move nothing, or what their beginnings have been counted for.
_IDLE = {
  *('parameter', 'tuple', 'get-tuple-element', 'bitcast', 'constant'),
  *('copy-done', 'slice-done', 'async-done', 'all-reduce-done'),
}
# They move what the computations that they run move.
_RUN = {'while', 'conditional', 'call'}
_COMPUTATION = re.compile(r'(?:ENTRY )?(%[\w.-]+) \(.*\) -> .* \{$')
_RUNS = re.compile(
  r'(condition|body|to_apply|branch_computations|true_computation|'
  r'false_computation)=(\{[^}]*\}|%[\w.-]+)'
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_LIMIT = re.compile(r'(%[\w.-]+) = s32\[\]\S* constant\((\d+)\)')
# They move as much as the smaller of two maps, from one memory to the other.
_FETCHES = ('copy-start', 'slice-start')


class Array(NamedTuple):
  """Where an array lies, 'hbm', 'vmem' or 'other', and how large it is."""

  place: str
  elements: int
  bytes: int


class Moved(NamedTuple):
  """Bytes read or written in the large and in the fast memory."""

  hbm: int
  vmem: int


def count(text: str) -> Moved:
  """Adds up the operands and results of a program's instructions.

  Operands count whole, also where an instruction reads a part of one. What
  stays within a fusion is left out. A loop counts as often as it runs if the
  text says how often (see `_find_trips`), and once if not; of the branches of a
  condition, the one that moves most.

  >>> text = '''
  ... ENTRY %main (a: bf16[8]) -> f32[8] {
  ...   %a = bf16[8]{0} parameter(0)
  ...   %b = (bf16[8]{0:S(1)}, bf16[8]{0}, u32[]{:S(2)}) copy-start(%a)
  ...   %c = bf16[8]{0:S(1)} copy-done(%b)
  ...   ROOT %d = f32[8]{0} fusion(%c), kind=kLoop
  ... }'''
  >>> count(text)
  Moved(hbm=48, vmem=32)
  """
  computations, entry = _split(drop_comments(text))
  return _count(entry, computations)


def _split(text: str) -> tuple[dict[str, list[str]], str]:
  """Returns the lines of each computation, and the name of the first to run."""
  computations: dict[str, list[str]] = {}
  entry, lines = '', []
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      lines = computations[match[1]] = []
      entry = match[1] if line.startswith('ENTRY') else entry
    else:
      lines.append(line)
  return computations, entry


def _count(name: str, computations: dict[str, list[str]]) -> Moved:
  """Returns what one run of a computation moves."""
  moved: collections.Counter[str] = collections.Counter()
  shapes: dict[str, list[Array]] = {}
  for line in computations[name]:
    match = _INSTRUCTION.match(line)
    if not match:
      continue
    result, types, kind, rest = match.groups()
    shapes[result] = list_arrays(types)
    if kind in _IDLE:
      continue
    if kind in _RUN:
      moved.update(_count_run(rest, computations)._asdict())
      continue
    touched = shapes[result]
    if kind in _FETCHES:
      least = min(x.bytes for x in touched if x.place != 'other')
      touched = [x._replace(bytes=least) for x in touched]
    else:
      operands = re.findall(r'%[\w.-]+', rest.partition('), ')[0])
      touched = touched + [y for x in operands for y in shapes.get(x, ())]
    for array in touched:
      moved[array.place] += array.bytes
  return Moved(hbm=moved['hbm'], vmem=moved['vmem'])


def _count_run(rest: str, computations: dict[str, list[str]]) -> Moved:
  """Returns what a loop, a condition or a call moves, from its attributes."""
  runs = {k: re.findall(r'%[\w.-]+', v) for k, v in _RUNS.findall(rest)}
  parts = [_count(x, computations) for names in runs.values() for x in names]
  if 'body' not in runs:
    return max(parts)
  trips = _find_trips(rest, computations[runs['condition'][0]])
  return Moved(*(trips * sum(x) for x in zip(*parts, strict=True)))


def _find_trips(rest: str, condition: list[str]) -> int:
  """Returns how often a loop runs, 1 if the text does not say it.

  XLA writes it down, or the loop counts from 0 to below the only integer in its
  condition, as those of `jax.lax.scan` do.
  """
  if match := _TRIPS.search(rest):
    return int(match[1])
  text = '\n'.join(condition)
  limits = _LIMIT.findall(text)
  if len(limits) != 1 or 'direction=LT' not in text:
    return 1
  (name, limit) = limits[0]
  compared = re.search(rf'compare\([^)]*{re.escape(name)}\)', text)
  return int(limit) if compared else 1


def drop_comments(text: str) -> str:
  """Returns XLA's text without the numbers in its long tuples."""
  return re.sub(r'/\*.*?\*/', '', text)


def list_arrays(types: str) -> list[Array]:
  """Returns the arrays in a type, such as '(f32[3,2]{1,0:S(1)}, s32[])'."""
  found = []
  for name, dims, layout in _ARRAY.findall(types):
    elements = math.prod(int(x) for x in dims.split(',') if x)
    space = re.search(r'S\((\d+)\)', layout)
    place = _PLACES.get(space[1] if space else '0', 'other')
    found.append(Array(place, elements, _BYTES.get(name, 4) * elements))
  return found
