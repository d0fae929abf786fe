"""The stages, in order of importance."""

from collections.abc import Sequence
import dataclasses
import pathlib

GOLDEN = ('dada', 'depdis', 'corda', 'gioada')
# The steps to compare: with all rewrites, with none, and without each one.
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
# No autotuning for stages that only compare numbers.
_QUICK = '--xla_gpu_autotune_level=0'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
  """One process.

  Attributes:
    name: name of its part of the report.
    command: the arguments of the interpreter.
    seconds: time limit after which it is ended.
    group: consecutive stages of the same group run concurrently: they only
      compare numbers and measure no times.
    flags: flags for XLA.
  """

  name: str
  command: tuple[str, ...]
  seconds: float
  group: str = ''
  flags: str = ''


def _module(name, *arguments):
  return ('-m', f'accelerator.{name}', *arguments)


def _steps(name, seconds, *arguments, rewrites=('auto',)):
  """Returns a stage of `steps`, with time to finish what it has started."""
  chosen = [f'--rewrites={r}' for r in rewrites]
  limit = f'--seconds={seconds - 25:.0f}'
  command = _module('steps', *arguments, *chosen, limit)
  return Stage(name=name, command=command, seconds=seconds)


def golden_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the files of golden numbers that a folder has."""
  files = [folder / f'{name}.npz' for name in GOLDEN]
  return [file for file in files if file.is_file()]


def _golden(folder, kinds):
  return [
    Stage(
      name=f'golden_{file.stem}_{kind}',
      command=_module('agreement', f'--file={file}', f'--kind={kind}'),
      seconds=180,
      group='numbers',
      flags=_QUICK,
    )
    for kind in kinds
    for file in (golden_files(folder) if folder else ())
  ]


def large(golden: pathlib.Path | None, best: str) -> list[Stage]:
  """Returns all stages at the papers' sizes: an hour, 9 min up to `predict`.

  Args:
    golden: folder of golden numbers, if there is one.
    best: the rewrites with which methods other than DADA are run.
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
      # Autotuning takes longest where kernels are slowest.
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
  """Returns stages for a CPU, at sizes too small to say anything of speed."""
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
    SystemExit: no stage has such a name.
  """
  found = []
  for name in names:
    chosen = [s for s in stages if s.name.startswith(name) and s not in found]
    if not chosen:
      known = ', '.join(stage.name for stage in stages)
      raise SystemExit(f'unknown stage {name!r}; expected some of {known}')
    found += chosen
  return found
