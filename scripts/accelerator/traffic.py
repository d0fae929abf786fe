"""Counts the bytes that a TPU program moves, by the memory that they lie in.

The compiler's own count of bytes does not tell the chip's fast memory (VMEM,
`S(1)` in XLA's text) from its large one (HBM), and so counts a map that is
fetched ahead three times: out of one, into the other, and where it is used.
"""

import collections
import re
from typing import NamedTuple

# Sizes in bytes, under XLA's names; 4 for all others.
_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's64': 8, 'f64': 8}
_ARRAY = re.compile(r'\b([a-z]+[0-9]*)\[([0-9,]*)\](\{[^}]*\})?')
_INSTRUCTION = re.compile(
  r'\s*(?:ROOT )?(%[\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)'
)
# They move nothing, or what their beginnings have been counted for.
_IDLE = {
  *('parameter', 'tuple', 'get-tuple-element', 'bitcast', 'constant'),
  *('copy-done', 'slice-done', 'async-done', 'all-reduce-done'),
}
# They move as much as the smaller of two maps, from one memory to the other.
_FETCHES = ('copy-start', 'slice-start')


class Moved(NamedTuple):
  """Bytes read or written in the large and in the fast memory."""

  hbm: int
  vmem: int


def count(text: str) -> Moved:
  """Adds up the operands and results of a program's instructions.

  Operands count whole, also where an instruction reads a part of one. Bodies of
  loops and what stays within a fusion are left out.

  >>> text = '''
  ... ENTRY %main {
  ...   %a = bf16[8]{0} parameter(0)
  ...   %b = (bf16[8]{0:S(1)}, bf16[8]{0}, u32[]{:S(2)}) copy-start(%a)
  ...   %c = bf16[8]{0:S(1)} copy-done(%b)
  ...   ROOT %d = f32[8]{0} fusion(%c), kind=kLoop
  ... }'''
  >>> count(text)
  Moved(hbm=48, vmem=32)
  """
  text = re.sub(r'/\*.*?\*/', '', text)  # Long tuples are numbered.
  moved: collections.Counter[str] = collections.Counter()
  shapes: dict[str, list[tuple[str, int]]] = {}
  for line in text[text.index('ENTRY') :].splitlines():
    match = _INSTRUCTION.match(line)
    if not match:
      continue
    name, types, kind, rest = match.groups()
    shapes[name] = _list_arrays(types)
    if kind in _IDLE:
      continue
    touched = list(shapes[name])
    if kind in _FETCHES:
      least = min(size for place, size in touched if place != 'other')
      touched = [(place, least) for place, _ in touched]
    else:
      operands = re.findall(r'%[\w.-]+', rest.partition('), ')[0])
      touched += [y for x in operands for y in shapes.get(x, ())]
    for place, size in touched:
      moved[place] += size
  return Moved(hbm=moved['hbm'], vmem=moved['vmem'])


def _list_arrays(types):
  """Returns (memory, bytes) of the arrays in a type."""
  found = []
  for name, dims, layout in _ARRAY.findall(types):
    size = _BYTES.get(name, 4)
    for dim in filter(None, dims.split(',')):
      size *= int(dim)
    space = re.search(r'S\((\d+)\)', layout)
    place = {None: 'hbm', '0': 'hbm', '1': 'vmem'}
    found.append((place.get(space and space[1], 'other'), size))
  return found
