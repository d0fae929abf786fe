"""Attributes a step's time to parts of the network, kernel by kernel.

Every kernel is looked up in the compiled program, whose instructions name the
part of the network that they come from. A fusion is named after its root: a
normalisation that XLA fused into a neighbour counts as the neighbour.
"""

import collections
import pathlib
import re
import tempfile
from typing import Any

import jax

_STEPS = 3
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$')
_SLOW = re.compile('convolve_common_engine')
_PRODUCT = re.compile(
  r'(?i)cudnn|gemm|cublas|xmma|cutlass|nvjet|conv(?!ert)|_dot'
)
_NAME = re.compile(r'op_name="([^"]*)"')
# The first pattern found in an instruction's name determines its part.
_PARTS = (
  ('norm', r'\bbn\d|downsample_bn'),
  ('convolution', r'conv_general_dilated|dot_general'),
  ('pooling', r'reduce_window|select_and_scatter'),
  ('losses', r'softmax|log|berhu|cross_entropy|abs|sign'),
)


def instructions(text: str) -> dict[str, str]:
  """Returns the purpose of a compiled program's instructions, by name.

  Args:
    text: the program. Dots in names become underscores, as in kernels' names.
  """
  found = {}
  for line in text.splitlines():
    match = _INSTRUCTION.match(line)
    if match:
      name = _NAME.search(match[2])
      found[match[1].replace('.', '_')] = name[1] if name else ''
  return found


def part_of(instruction: str, kernel: str, purpose: str) -> str:
  """Returns the part of a step that a kernel belongs to.

  Args:
    instruction: its name in the compiled program; '' if unknown.
    kernel: its own name.
    purpose: the purpose of the instruction according to the program.
  """
  if re.match(r'(?i)nchwToNhwc|nhwcToNchw|convertTensor', kernel):
    return 'layout'
  if _SLOW.search(kernel):
    return 'convolution without matrix units'
  if _PRODUCT.search(f'{instruction} {kernel}'):
    return 'convolution'
  if re.match(r'(?i)(wrapped_)?(copy|transpose)|memcpy', kernel):
    return 'copy'
  for part, pattern in _PARTS:
    if re.search(pattern, purpose):
      return part
  return 'sums' if 'reduce' in kernel else 'other'


def _device_events(data):
  """Yields the events of an accelerator's streams, or of a CPU's threads."""
  planes = list(data.planes)
  devices = [p for p in planes if p.name.startswith('/device:')]
  for plane in devices or planes:
    for line in plane.lines:
      if not devices or line.name.startswith('Stream'):
        for event in line.events:
          stats = {key: value for key, value in event.stats}
          if devices or 'hlo_op' in stats:
            yield str(stats.get('hlo_op', '')), event


def events(folder: pathlib.Path) -> dict[tuple[str, str], list[float]]:
  """Returns (instruction, kernel) -> [calls, seconds] of a trace."""
  found = collections.defaultdict(lambda: [0, 0.0])
  for path in folder.rglob('*.xplane.pb'):
    data = jax.profiler.ProfileData.from_file(str(path))
    for instruction, event in _device_events(data):
      entry = found[instruction, event.name]
      entry[0] += 1
      entry[1] += event.duration_ns * 1e-9
  return found


def measure(case: Any) -> dict[str, Any]:
  """Traces a `steps.Case`; returns seconds per part and per instruction."""
  purposes = instructions(case.step.as_text())
  case.run(2)
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      case.run(_STEPS)
    found = events(pathlib.Path(folder))
  parts, kinds = collections.Counter(), collections.Counter()
  rows = []
  for (instruction, kernel), (calls, seconds) in found.items():
    # In a graph the instruction is the name of the graph.
    name = kernel if instruction.startswith('command_buffer') else instruction
    purpose = purposes.get((name or kernel).replace('.', '_'), '')
    part = part_of(name, kernel, purpose)
    seconds /= _STEPS
    parts[part] += seconds
    kinds[re.sub(r'[._]\d+$', '', kernel)[:60]] += seconds
    rows.append((seconds, calls / _STEPS, part, name, kernel[:80], purpose))
  rows.sort(reverse=True)
  fields = ('seconds', 'calls', 'part', 'instruction', 'kernel', 'purpose')
  return {
    'seconds_by_part': dict(parts),
    'seconds_by_kernel': dict(kinds.most_common(60)),
    'seconds_of_kernels': sum(parts.values()),
    'kernels': sum(row[1] for row in rows),
    'longest': [dict(zip(fields, row, strict=True)) for row in rows[:300]],
  }
