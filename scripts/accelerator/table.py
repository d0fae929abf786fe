"""Formats the report as Markdown tables."""

from collections.abc import Iterable, Sequence
from typing import Any

_STEP_HEAD = (
  *('method', 'arithmetic', 'rewrites', 'ms a step', 'unwaited'),
  *('share of the matrix peak', 'compiled, GiB', 'TFLOP', 'GB moved'),
  *('over PyTorch', 'compile, s'),
)


def _rows(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  return '\n'.join('| ' + ' | '.join(map(str, x)) + ' |' for x in lines)


def _digits(value: float | None, digits: int = 3) -> str:
  """Formats a number with so many digits, without an exponent."""
  if value is None:
    return '-'
  text = f'{value:.{digits}g}'
  return f'{value:.0f}' if 'e' in text and abs(value) >= 1 else text


def _ways(stages):
  """Returns the measurements of PyTorch."""
  return [way for stage in stages.values() for way in stage.get('ways', [])]


def peers(stages: dict[str, Any]) -> dict[str, float]:
  """Returns PyTorch's fastest seconds per step, by precision."""
  found: dict[str, float] = {}
  for way in _ways(stages):
    name = way['way'].partition('_')[0]
    seconds = way['seconds_median']
    found[name] = min(seconds, found.get(name, seconds))
  return found


def _steps(stages):
  peaks = stages.get('peaks', {}).get('matmul_flops', {})
  peer = peers(stages)
  for name, stage in stages.items():
    precision = stage.get('precision')
    for case in stage.get('cases', []):
      if 'seconds_median' not in case:
        continue
      seconds = case['seconds_median']
      peak, other = peaks.get(precision), peer.get(precision)
      method = case['method']
      untuned = ', untuned' if name.startswith('untuned') else ''
      norm = f', {case["norm"]} norm' if 'norm' in case else ''
      count = stage.get('device_count', 1)
      devices = f', {count} devices' if count > 1 else ''
      rate = case['necessary_flops'] / seconds / count
      yield (
        method + norm + devices + untuned,
        precision,
        case['rewrites'],
        _digits(1e3 * seconds),
        _digits(1e3 * case['seconds_unwaited']),
        _digits(rate / peak, 2) if peak else '-',
        _digits(case['compiled_gib']),
        _digits(case['flops'] / 1e12),
        _digits(case['bytes_accessed'] / 1e9),
        _digits(seconds / other) if other and method == 'dada' else '-',
        _digits(case['compile_seconds'], 2),
      )


def _peer_rows(stages):
  for way in _ways(stages):
    yield (
      way['way'].replace('_last', ', channels last'),
      _digits(1e3 * way['seconds_median']),
      _digits(1e3 * way['seconds_unwaited']),
      _digits(way.get('peak_gib')),
      _digits(way['first_seconds'], 2),
    )


def _golden_rows(stages):
  for name, stage in stages.items():
    if 'errors' in stage:
      errors = {k: float(v) for k, v in stage['errors'].items()}
      worst = max(errors, key=errors.get)
      plain = {
        k: v
        for k, v in errors.items()
        if k.startswith('loss') or k.endswith('logits')
      }
      yield (
        stage['file'],
        stage['kind'],
        f'{max(plain.values(), default=0):.1e}',
        f'{errors[worst]:.1e} ({worst})',
      )
    elif name.startswith('golden'):
      yield name, stage['status'], '-', '-'


def _resume_rows(stages):
  for name, ways in stages.get('resume', {}).items():
    if isinstance(ways, dict):
      for way, same in ways.items():
        said = ['yes' if same[k] else 'no' for k in ('repeats', 'resumes')]
        yield name, way, *said


def _predict_rows(stages):
  for rate in stages.get('predict', {}).get('rates', []):
    yield (
      rate['dtype'],
      rate['batch_size'],
      _digits(rate['network_alone']),
      _digits(rate.get('predict')),
    )


def make(result: dict[str, Any]) -> str:
  """Returns the report's tables.

  Args:
    result: the content of `accelerator.json`.
  """
  stages = result['stages']
  peaks = stages.get('peaks', {})
  torch = (x['torch'] for x in stages.values() if 'torch' in x)
  rates = ', '.join(
    f'{name} {_digits(rate / 1e12)}'
    for name, rate in peaks.get('matmul_flops', {}).items()
  )
  copied = peaks.get('copy_bytes_per_second')
  parts = [
    f'{peaks.get("device", "unknown device")}, jax {peaks.get("jax", "-")},'
    f' PyTorch {next(iter(torch), "-")}, {result["date"]}',
    f'Matrix product, TFLOP/s: {rates or "-"}. Copy, GB/s read and written:'
    f' {_digits(copied / 1e9) if copied else "-"}.',
  ]
  for head, rows in (
    (_STEP_HEAD, _steps(stages)),
    (
      ('PyTorch, DADA', 'ms a step', 'unwaited', 'peak, GiB', 'first step, s'),
      _peer_rows(stages),
    ),
    (
      ('golden numbers', 'arithmetic', 'logits and losses', 'worst entry'),
      _golden_rows(stages),
    ),
    (
      ('resume', 'XLA', 'runs repeat bit for bit', 'resumes bit for bit'),
      _resume_rows(stages),
    ),
    (
      ('predict', 'images at once', 'network alone, images/s', 'images/s'),
      _predict_rows(stages),
    ),
    (
      ('stage', 'status', 'seconds'),
      (
        (name, x['status'], _digits(x.get('wall_seconds')))
        for name, x in stages.items()
      ),
    ),
  ):
    rows = list(rows)
    if rows:
      parts.append(_rows(head, rows))
  return '\n\n'.join(parts) + '\n'
