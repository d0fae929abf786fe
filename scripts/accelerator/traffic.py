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
  text = drop_comments(text)
  moved: collections.Counter[str] = collections.Counter()
  shapes: dict[str, list[Array]] = {}
  for line in text[text.index('ENTRY') :].splitlines():
    match = _INSTRUCTION.match(line)
    if not match:
      continue
    name, types, kind, rest = match.groups()
    shapes[name] = list_arrays(types)
    if kind in _IDLE:
      continue
    touched = shapes[name]
    if kind in _FETCHES:
      least = min(x.bytes for x in touched if x.place != 'other')
      touched = [x._replace(bytes=least) for x in touched]
    else:
      operands = re.findall(r'%[\w.-]+', rest.partition('), ')[0])
      touched = touched + [y for x in operands for y in shapes.get(x, ())]
    for array in touched:
      moved[array.place] += array.bytes
  return Moved(hbm=moved['hbm'], vmem=moved['vmem'])


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
