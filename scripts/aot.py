"""Compiles programs ahead of time, for accelerators that are not present.

  pip install "jax[tpu]"   # its compiler is libtpu, an ordinary wheel
  python scripts/aot.py --topology=v5e:4x4 --method=dada --dtype=bfloat16
  python scripts/aot.py --topology=v5e:1x1,v5p:1x1x1 --remat=no,yes --out=F.json

Compiles every combination of the comma-separated values, one after another, at
the papers' sizes unless told otherwise; needs no data and no TensorFlow. For
each it reports the compiler's figures, per chip: memory and whether it fits the
chip, operations, bytes, the estimated time, every collective, and the least
that the step can do with (see `necessary`). A TPU's bytes are those of its
large memory (see `accelerator.traffic`). With --out, results are added to a
file, cases that are already in it are not compiled again, and a table of the
file is printed.

GPUs: h100:8 is a host with eight of them. This needs JAX's CUDA plugin but no
driver. Kernels are then not tuned, and operations and bytes are not counted.
`cuda` instead of a topology lowers for GPUs, without that plugin and without
compiling, and counts the operations in the program.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import sys
import time
from typing import Any

# Set before JAX is imported, so that it looks for no device.
os.environ['JAX_PLATFORMS'] = 'cpu'

from accelerator import cases as cases_lib
from accelerator import chips
from accelerator import traffic
import benchmark
import jax
from jax.sharding import NamedSharding, PartitionSpec
import necessary

from jaxuda import errors
from jaxuda import methods
from jaxuda.evaluate import counting
from jaxuda.models import lowering
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import files

_GIB = 2**30
_PROGRAMS = ('step', 'evaluation', 'init')
_COLLECTIVE = re.compile(
  r' = (\(?[^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all|'
  r'collective-permute|collective-broadcast)(?:-start)?\('
)


class NoProgramError(Exception):
  """Raised if a method does not have the program."""


def _shapes(tree, lead=()):
  """Returns the shapes of arrays, with leading axes before their own."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype), tree
  )


def make_program(
  case: cases_lib.Case, devices: list[Any]
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
  """Returns a jitted function, its arguments' shapes, and the step's needs."""
  method, batch, sizes = case.make()
  key, first = jax.eval_shape(lambda: (rng.root(0), rng.for_init(0)))
  state = jax.eval_shape(method.init, first, batch)
  copies = parallel.replicated(devices)
  split = NamedSharding(copies.mesh, PartitionSpec(parallel.AXIS))
  if case.program == 'init':
    init = jax.jit(method.init, out_shardings=copies)
    return init, (first, _shapes(batch)), {}
  if case.program == 'evaluation' and method.predict is None:
    raise NoProgramError(f'{case.method} labels no pixels')
  if case.program == 'evaluation':
    # Whole images, even if crops are trained on; labels of the same size.
    (domain, *_), size = batch.values(), case.configure().data.target.size
    rows = len(devices) * len(domain['image'])
    image = jax.ShapeDtypeStruct((rows, *size, 3), 'uint8')
    label = jax.ShapeDtypeStruct((rows, *size), 'int32')

    def score(state, image, label):
      # Not by `counting.look`: JAX keeps what was traced for another platform.
      out = method.predict(state, image, size='grid')
      return counting.count_batch(
        *({'out': {'logits': out['logits']}}, label, None),
        method=method,
        size=tuple(size),
        table=None,
        count=method.num_classes,
      )

    shardings = (copies, split, split)
    return jax.jit(score, in_shardings=shardings), (state, image, label), {}
  needed = {
    **benchmark.named(necessary.count(method, state, batch, sizes)),
    'parameters': _count(net.params for net in state.nets.values()),
    'statistics': _count(
      net.batch_stats for net in [*state.nets.values(), state.teacher] if net
    ),
  }
  step = parallel.shard_step(method.train_step, devices)
  return step, (state, _shapes(batch, (len(devices),)), key), needed


def _count(trees):
  return sum(x.size for x in jax.tree.leaves(list(trees)))


def find_collectives(text: str) -> list[dict[str, Any]]:
  """Returns the collectives of a program in XLA's text, with their sizes.

  >>> text = '%a = (f32[3,2]{1,0}, f32[]) all-reduce(%b, %c), channel_id=1'
  >>> find_collectives(text)
  [{'kind': 'all-reduce', 'arrays': 2, 'elements': 7, 'bytes': 28}]
  """
  found = []
  for shapes, kind in _COLLECTIVE.findall(traffic.drop_comments(text)):
    arrays = traffic.list_arrays(shapes)
    found.append(
      {
        'kind': kind,
        'arrays': len(arrays),
        'elements': sum(x.elements for x in arrays),
        'bytes': sum(x.bytes for x in arrays),
      }
    )
  return found


def estimate(cost: dict[str, float]) -> float | None:
  """Returns the compiler's estimate of a step, in seconds, if it has one.

  For large programs libtpu gives a negative number, which is meaningless.

  >>> estimate({'optimal_seconds': 0.25}), estimate({'optimal_seconds': -498.0})
  (0.25, None)
  """
  seconds = cost.get('optimal_seconds', 0.0)
  return seconds if seconds > 0 else None


def compile_case(case: cases_lib.Case) -> dict[str, Any]:
  """Compiles a case and returns the compiler's figures for it."""
  devices = chips.find_devices(case.topology)
  chip = chips.CHIPS[case.topology.partition(':')[0]]
  lowering.trace_for(chip.platform)
  program, arguments, found = make_program(case, devices)
  found |= {'chips': len(devices), 'hbm_gib': chip.gib}
  wall, cpu = time.perf_counter(), time.process_time()
  try:
    compiled = program.lower(*arguments).compile()
  except jax.errors.JaxRuntimeError as e:
    if 'RESOURCE_EXHAUSTED' not in str(e):
      raise
    used = re.search(r'Used ([0-9.]+)([MG]) of', str(e))
    scale = {'M': 1 / 1024, 'G': 1.0}
    gib = float(used[1]) * scale[used[2]] if used else None
    return {**found, 'fits': False, 'gib': gib}
  found['compile_seconds'] = time.perf_counter() - wall
  found['compile_cpu_seconds'] = time.process_time() - cpu
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  text = compiled.as_text()
  # For a GPU that is not present there is no cost analysis.
  cost = (cost[0] if isinstance(cost, list) else cost) or {}
  used = (
    memory.temp_size_in_bytes
    + memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.generated_code_size_in_bytes
  )
  found |= {
    'gib': used / _GIB,
    'fits': used / _GIB <= chip.gib,
    'temp_gib': memory.temp_size_in_bytes / _GIB,
    'collectives': find_collectives(text),
  }
  if cost:
    # Of a TPU's fast memory the compiler counts the bytes, too.
    moved = cost['bytes accessed']
    if chip.platform == 'tpu':
      moved = found['hbm_bytes'] = traffic.count(text).hbm
    found |= {
      'flops': cost['flops'],
      'bytes': cost['bytes accessed'],
      # The compiler's own estimate, and the bounds from the data sheet.
      'estimated_seconds': estimate(cost),
      'matrix_seconds': cost['flops'] / chip.tflops / 1e12,
      'memory_seconds': moved / chip.gbps / 1e9,
    }
    for name, used in (('flops', cost['flops']), ('bytes', moved)):
      if needed := found.get(f'necessary_{name}'):
        found[f'{name}_over_necessary'] = used / needed
  return found


# The names of the collectives in the StableHLO that jax.export writes.
_STABLEHLO = re.compile(
  r'stablehlo\.(all_reduce|all_gather|collective_permute)'
)


def lower_for_cuda(case: cases_lib.Case) -> dict[str, Any]:
  """Lowers a case for one NVIDIA GPU; returns what the program contains."""
  lowering.trace_for('gpu')
  program, arguments, found = make_program(case, jax.devices()[:1])
  text = jax.export.export(program, platforms=['cuda'])(
    *arguments
  ).mlir_module()
  names = ('convolution', 'dot_general', 'optimization_barrier')
  calls = set(re.findall(r'stablehlo.custom_call @(\w+)', text))
  return {
    **found,
    'chips': 1,
    **{name: text.count(f'stablehlo.{name}') for name in names},
    'collectives': [{'kind': x} for x in _STABLEHLO.findall(text)],
    'custom_calls': sorted(calls),
  }


_TIMES = ('matrix', 'memory', 'estimated')


def _row(entry):
  """Returns an entry as cells of a table."""

  def show(value, unit=1.0, digits=3):
    return '-' if value is None else f'{value / unit:.{digits}g}'

  get = entry.get
  collectives = get('collectives')
  moved = [x['bytes'] for x in collectives or () if 'bytes' in x]
  fits = {True: 'yes', False: '**no**'}.get(get('fits'), '-')
  return [
    entry['method'],
    entry['program'] + (', remat' if entry['remat'] else ''),
    entry['dtype'],
    entry['rewrites'],
    entry['topology'],
    str(entry['batch'] or "paper's"),
    fits,
    show(get('gib')),
    show(get('flops'), 1e12),
    show(get('hbm_bytes', get('bytes')), 1e9),
    ', '.join(show(get(f'{x}_over_necessary')) for x in ('flops', 'bytes')),
    ' / '.join(show(get(f'{x}_seconds'), 1e-3) for x in _TIMES),
    f'{len(collectives)}: {sum(moved) / 1e6:.0f}' if collectives else '-',
    show(get('compile_cpu_seconds')),
  ]


_HEAD = (
  *('method', 'program', 'type', 'rewrites', 'chips', 'images a domain'),
  *('fits', 'GiB', 'TFLOP', 'GB', 'TFLOP, GB over necessary'),
  *(
    'ms: matrix units / memory / estimate',
    'collectives, MB',
    'compiling, CPU s',
  ),
)


def make_table(entries: list[dict[str, Any]]) -> str:
  """Returns the entries as a Markdown table; all figures are per chip."""
  rows = [_HEAD, ['---'] * len(_HEAD), *map(_row, entries)]
  return '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--topology', default='v5e:1x1', help='such as v5p:2x2x4, or cuda')
  add('--method', default='dada', help='name of a method, or all')
  add('--program', default='step', help=', '.join(_PROGRAMS))
  add('--dtype', default='bfloat16', help='float32, bfloat16')
  add('--batch', default='0', help="images per domain and chip; 0: the paper's")
  add('--remat', default='no', help='no, yes')
  add(
    '--rewrites', default='auto', help='auto, all, none, or names joined by +'
  )
  add('--norm', default='', help='batch, sync, frozen')
  add('--arguments', default='', help="config arguments; empty: the paper's")
  add('--backbone', default='', help="backbone; empty: the config's")
  add('--source', default='', help="HxW; empty: the config's")
  add('--target', default='', help="HxW; empty: the config's")
  add('--out', type=pathlib.Path, help='JSON file to append to')
  args = parser.parse_args(arguments)
  for name, choices in (('program', _PROGRAMS), ('remat', ('no', 'yes'))):
    if not set(getattr(args, name).split(',')) <= set(choices):
      expected = f'expected some of {", ".join(choices)}'
      parser.error(f'--{name}={getattr(args, name)}; {expected}')
  if not all(x.isdecimal() for x in args.batch.split(',')):
    parser.error(f'--batch={args.batch}; expected numbers of images, from 0')
  for name in ('source', 'target'):
    try:
      for size in filter(None, getattr(args, name).split(',')):
        benchmark.parse_size(size)
    except argparse.ArgumentTypeError as e:
      parser.error(f'--{name}={e}')
  return args


def make_cases(args: argparse.Namespace) -> list[cases_lib.Case]:
  """Returns all combinations of the flags' values."""
  values = {k: v for k, v in vars(args).items() if k != 'out'}
  # The arguments of a config contain commas themselves.
  whole = ('arguments',)
  lists = {k: [v] if k in whole else v.split(',') for k, v in values.items()}
  if args.method == 'all':
    lists['method'] = methods.names()
  lists['batch'] = [int(x) for x in lists['batch']]
  lists['remat'] = [{'no': False, 'yes': True}[x] for x in lists['remat']]
  return [
    cases_lib.Case(**dict(zip(lists, x, strict=True)))
    for x in itertools.product(*lists.values())
  ]


def read_entries(path: pathlib.Path | None) -> list[dict[str, Any]]:
  """Reads the results to add to; [] if there are none yet.

  Raises:
    UserError: the file holds something else, or cannot be written.
  """
  if not path:
    return []
  files.check_file(path)
  try:
    entries = json.loads(path.read_text()) if path.is_file() else []
    [entry['topology'] for entry in entries]
  except (ValueError, TypeError, KeyError) as e:
    raise errors.UserError(
      f'--out={path} holds something else ({e!r}); expected a file that this'
      ' script wrote, or none'
    ) from e
  return entries


def main() -> int:
  """Runs the command line; returns the exit status."""
  args = parse_args()
  entries = read_entries(args.out)
  cases = make_cases(args)
  for case in cases:
    case.check()
  for case in cases:
    own = dataclasses.asdict(case)
    if any(own.items() <= entry.items() for entry in entries):
      continue
    run = lower_for_cuda if case.topology == 'cuda' else compile_case
    try:
      found = run(case)
    except NoProgramError as e:
      print(f'left out: {e}', file=sys.stderr)
      continue
    entries.append({**own, **found, 'jax': jax.__version__})
    if args.out:
      with files.atomic(args.out) as part:
        part.write_text(json.dumps(entries, indent=2) + '\n')
  if not args.out:
    print(json.dumps(entries, indent=2))
  print(make_table(entries))
  return 0


if __name__ == '__main__':
  sys.exit(benchmark.run(main))
