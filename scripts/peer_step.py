"""Measures time and memory of DADA's training step in PyTorch, as JSON.

  python scripts/peer_step.py --device=cuda --way=float32 --way=bfloat16
  python scripts/peer_step.py --golden=dada.npz      # is it the official step?
  python scripts/peer_step.py --count                # operations; no PyTorch

The official networks and passes (`peer/`) at the paper's sizes, written from
their description. Ways: `float32`; `tf32` (the matrix units' mode for float32);
`bfloat16` (autocast); each with `_last` for channels-last layout. PyTorch is
given every advantage: images are on the device and normalised; nothing waits
for the device within a step; every parameter is stepped once.
"""

import argparse
from collections.abc import Iterator
import json
import pathlib
import statistics
import sys
import time
from typing import Any

import numpy as np
from peer import shapes

WAYS = tuple(
  f'{way}{layout}'
  for way in ('float32', 'tf32', 'bfloat16')
  for layout in ('', '_last')
)


def _size(text):
  height, _, width = text.partition('x')
  return int(height), int(width)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--device', default='cuda', choices=('cuda', 'cpu'))
  add('--way', action='append', choices=WAYS, help='may be repeated')
  add('--source', type=_size, default=(760, 1280), help='HxW')
  add('--target', type=_size, default=(512, 1024), help='HxW')
  add('--classes', type=int, default=16)
  add('--blocks', default='3,4,23,3', help='bottlenecks per stage')
  add('--steps', type=int, default=20)
  add('--warm_up', type=int, default=5)
  add('--kernels', action='store_true', help='also time each kernel')
  add('--golden', type=pathlib.Path, help='compare with these numbers instead')
  add('--count', action='store_true', help='only count operations')
  add('--part', type=pathlib.Path, help='also write the JSON here')
  args = parser.parse_args(arguments)
  args.blocks = tuple(map(int, args.blocks.split(',')))
  return args


def make_batch(args: argparse.Namespace) -> dict[str, np.ndarray]:
  """Returns a random batch of one source and one target image."""
  generator = np.random.default_rng(0)

  def image(size):
    x = generator.uniform(-120, 135, (1, 3, *size))
    return x.astype(np.float32)

  depth = generator.uniform(2, 100, (1, *args.source))
  return {
    'source_image': image(args.source),
    'label': generator.integers(0, args.classes, (1, *args.source)),
    'inverse_depth': (655.36 / (depth + 0.01)).astype(np.float32),
    'target_image': image(args.target),
  }


def count(args: argparse.Namespace) -> dict[str, float]:
  """Returns the operations of a step, with and without those on padding."""
  names = {'flops': True, 'flops_inside': False}
  return {
    name: shapes.step_flops(
      args.source,
      args.target,
      classes=args.classes,
      counts=args.blocks,
      padding=padding,
    )
    for name, padding in names.items()
  }


def _kernels(torch, trainer, batch):
  """Returns the seconds per step of each kernel, the longest first."""
  activities = [torch.profiler.ProfilerActivity.CUDA]
  with torch.profiler.profile(activities=activities) as profile:
    trainer.step(batch)
    torch.cuda.synchronize()
  seconds = {}
  for event in profile.events():
    if str(event.device_type).endswith('CUDA'):
      spent = event.time_range.elapsed_us() * 1e-6
      seconds[event.name[:100]] = seconds.get(event.name[:100], 0) + spent
  longest = sorted(seconds.items(), key=lambda item: -item[1])
  return dict(longest[:60])


def measure(args: argparse.Namespace, way: str) -> Iterator[dict[str, Any]]:
  """Times steps of one way; yields a report before and after the kernels."""
  from peer import training
  import torch

  name, _, layout = way.partition('_')
  torch.manual_seed(0)
  torch.backends.cuda.matmul.allow_tf32 = name == 'tf32'
  torch.backends.cudnn.allow_tf32 = name == 'tf32'
  # As in the official code: the fastest kernels for sizes that never change.
  torch.backends.cudnn.benchmark = True
  cuda = args.device == 'cuda'
  wait = torch.cuda.synchronize if cuda else lambda: None
  if cuda:
    torch.cuda.reset_peak_memory_stats()
  trainer = training.Trainer(
    args.classes,
    args.blocks,
    device=args.device,
    autocast=name == 'bfloat16',
    channels_last=bool(layout),
  )
  batch = {k: torch.from_numpy(v) for k, v in make_batch(args).items()}
  batch = {k: v.to(args.device) for k, v in batch.items()}
  if layout:
    for key in ('source_image', 'target_image'):
      batch[key] = batch[key].contiguous(memory_format=torch.channels_last)
  begin = time.perf_counter()
  losses = {k: float(v) for k, v in trainer.step(batch).items()}
  report = {'way': way, 'first_seconds': time.perf_counter() - begin}
  for _ in range(args.warm_up):
    trainer.step(batch)
  wait()
  seconds = []
  for _ in range(args.steps):
    begin = time.perf_counter()
    trainer.step(batch)
    wait()
    seconds.append(time.perf_counter() - begin)
  begin = time.perf_counter()
  for _ in range(args.steps):
    trainer.step(batch)
  wait()
  report |= {
    'seconds_median': statistics.median(seconds),
    'seconds_best': min(seconds),
    'seconds_unwaited': (time.perf_counter() - begin) / args.steps,
    'first_losses': losses,
  }
  if cuda:
    report['peak_gib'] = torch.cuda.max_memory_allocated() / 2**30
  yield report
  if cuda and args.kernels:
    yield {**report, 'kernels': _kernels(torch, trainer, batch)}


def agreement(args: argparse.Namespace) -> dict[str, float]:
  """Returns relative errors of losses and gradients to the official numbers."""
  import check_golden
  from golden import recipe
  from peer import training
  import torch

  with np.load(args.golden, allow_pickle=False) as data:
    golden = {k: data[k] for k in data.files}
  hs, ws, ht, wt, classes, salt = (int(n) for n in golden['sizes'])
  trainer = training.Trainer(classes, device=args.device, dtype=torch.float64)
  weights = {
    name: torch.from_numpy(np.asarray(recipe.tensor(name, shape, salt=salt)))
    for name, shape in json.loads(str(golden['shapes'])).items()
  }
  discs = {k: v for k, v in weights.items() if k.startswith('D.')}
  trainer.disc.load_state_dict({k[2:]: v for k, v in discs.items()})
  trainer.task.load_state_dict(
    {k: v for k, v in weights.items() if k not in discs}
  )
  batch = {
    'source_image': recipe.image('source', (1, 3, hs, ws), salt=salt),
    'label': recipe.labels('labels', (1, hs, ws), classes=classes, salt=salt),
    'inverse_depth': recipe.positive('depth', (1, hs, ws), 1, 30, salt=salt),
    'target_image': recipe.image('target', (1, 3, ht, wt), salt=salt),
  }
  batch = {k: torch.from_numpy(np.array(v)) for k, v in batch.items()}
  batch['label'] = batch['label'].long()
  found = trainer.gradients({k: v.to(args.device) for k, v in batch.items()})
  ours = {k: float(v) for k, v in found.items()}
  ours['grad_norms'] = {
    prefix + name: float(p.grad.norm())
    for prefix, net in (('', trainer.task), ('D.', trainer.disc))
    for name, p in net.named_parameters()
    if p.grad is not None
  }
  wanted = {name: golden[name] for name in ours}
  return check_golden.compare(wanted, ours)


def main() -> int:
  """Runs the command line; returns the exit status."""
  args = parse_args()
  report: dict[str, Any] = {'counted': count(args), 'ways': []}

  def write():
    text = json.dumps(report, indent=2)
    if args.part:
      args.part.write_text(text)
    return text

  if not args.count:
    try:
      import torch
    except ModuleNotFoundError:
      report['skipped'] = 'PyTorch is not installed'
      print(write())
      return 0
    report['torch'] = torch.__version__
    report['cudnn'] = torch.backends.cudnn.version()
  if args.golden:
    report['golden'] = agreement(args)
  elif not args.count:
    for way in args.way or ['float32']:
      done = list(report['ways'])
      for found in measure(args, way):
        report['ways'] = [*done, found]
        write()
  print(write())
  errors = report.get('golden', {}).values()
  return int(any(not error <= 1e-6 for error in errors))


if __name__ == '__main__':
  sys.exit(main())
