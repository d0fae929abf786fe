"""The stages, in the order of what they are worth."""

from collections.abc import Sequence
import dataclasses
import pathlib

GOLDEN = ('dada', 'depdis', 'corda', 'gioada')
# The steps to compare: with all rewrites, with none, and without each.
_NAMES = ('dot_1x1', 'dot_wgrad', 'barriers', 'aspp_dot')
REWRITES = (
  'all',
  'none',
  *('+'.join(x for x in _NAMES if x != off) for off in _NAMES),
)
_OTHERS = (
  *('corda', 'depdis', 'gio_ada', 'advent', 'dacs'),
  *('source_only', 'self_training', 'cyclegan'),
)
# Autotuning is left out where only numbers are asked for.
_QUICK = '--xla_gpu_autotune_level=0'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
  """One process.

  Attributes:
    name: of its part of the report.
    command: what follows the interpreter.
    seconds: after which it is ended.
    group: stages with one group, which follow one another, run side by side:
      of them only numbers are asked for, no times.
    flags: for XLA.
  """

  name: str
  command: tuple[str, ...]
  seconds: float
  group: str = ''
  flags: str = ''


def _module(name, *arguments):
  return ('-m', f'accelerator.{name}', *arguments)


def _steps(name, seconds, *arguments, rewrites=('auto',)):
  """A stage of `steps`, with time to end what it has begun."""
  chosen = [f'--rewrites={r}' for r in rewrites]
  limit = f'--seconds={seconds - 25:.0f}'
  command = _module('steps', *arguments, *chosen, limit)
  return Stage(name=name, command=command, seconds=seconds)


def _golden(folder, kinds):
  files = [folder / f'{name}.npz' for name in GOLDEN] if folder else []
  return [
    Stage(
      name=f'golden_{file.stem}_{kind}',
      command=_module('agreement', f'--file={file}', f'--kind={kind}'),
      seconds=180,
      group='numbers',
      flags=_QUICK,
    )
    for kind in kinds
    for file in files
    if file.is_file()
  ]


def large(golden: pathlib.Path | None, best: str) -> list[Stage]:
  """Everything, at the papers' sizes: an hour. Nine minutes reach `predict`.

  Args:
    golden: folder of golden numbers, if there is one.
    best: the rewrites with which methods but DADA are run.
  """
  peers = {
    way: Stage(
      name=f'peer_{way}',
      command=('peer_step.py', '--device=cuda', f'--way={way}', '--kernels'),
      seconds=100,
    )
    for way in ('bfloat16', 'bfloat16_last', 'tf32', 'tf32_last', 'float32')
  }
  dada = {
    p: _steps(
      f'dada_{p}',
      # To choose kernels takes longest where they are slowest.
      600 if p == 'float32' else 300,
      *('--method=dada', f'--precision={p}', '--kernels=2'),
      rewrites=('auto', *REWRITES),
    )
    for p in ('bfloat16', 'tf32', 'float32')
  }
  resume = _module('resume', '--method=dada', '--method=corda')
  others = [f'--method={name}' for name in _OTHERS]
  return [
    Stage(name='peaks', command=_module('peaks'), seconds=60),
    dada['bfloat16'],
    peers.pop('bfloat16'),
    *_golden(golden, ('float64', 'float32', 'tf32')),
    Stage(name='resume', command=resume, seconds=180, group='numbers'),
    Stage(name='predict', command=_module('inference'), seconds=200),
    *peers.values(),
    dada['tf32'],
    dada['float32'],
    *(
      _steps(f'methods_{p}', 900, *others, f'--precision={p}', rewrites=(best,))
      for p in ('bfloat16', 'tf32')
    ),
    _steps(
      'frozen_norm',
      150,
      *('--method=dada', '--precision=bfloat16', '--norm=frozen'),
      rewrites=(best,),
    ),
    _steps(
      'two_devices',
      150,
      *('--method=dada', '--precision=bfloat16'),
      rewrites=(best,),
    ),
  ]


def small(golden: pathlib.Path | None) -> list[Stage]:
  """The same at sizes at which it says nothing of speed, for a CPU."""
  quick = ('--rounds=1', '--steps=1', '--small')
  rewrites = ('all', 'none')
  tiny = ('--blocks=1,1,1,1', '--source=65x97', '--target=49x81', '--steps=2')
  return [
    Stage(name='peaks', command=_module('peaks', '--small'), seconds=100),
    *(
      _steps(
        f'dada_{p}',
        150,
        *('--method=dada', f'--precision={p}', *quick),
        rewrites=rewrites,
      )
      for p in ('float32', 'bfloat16')
    ),
    Stage(
      name='peer',
      command=('peer_step.py', '--device=cpu', '--way=float32', *tiny),
      seconds=100,
    ),
    *_golden(golden, ('float64',)),
    Stage(
      name='resume',
      command=_module('resume', '--method=dada', '--small'),
      seconds=150,
    ),
    Stage(
      name='predict',
      command=_module('inference', '--batch_size=2', '--small'),
      seconds=100,
    ),
    _steps(
      'two_devices',
      150,
      *('--method=dada', '--precision=float32', '--devices=2', *quick),
    ),
  ]


def choose(stages: Sequence[Stage], names: Sequence[str]) -> list[Stage]:
  """Returns the stages whose name begins with one of `names`, in that order.

  Raises:
    SystemExit: a name of no stage.
  """
  found = []
  for name in names:
    chosen = [s for s in stages if s.name.startswith(name) and s not in found]
    if not chosen:
      known = ', '.join(stage.name for stage in stages)
      raise SystemExit(f'unknown stage {name!r}; expected some of {known}')
    found += chosen
  return found
