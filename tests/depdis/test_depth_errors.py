"""Table 5 of Depth Distribution: depth errors of the rows M1 and M2."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import depdis
from jaxuda import methods
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import scores
from jaxuda.run import workdir as workdir_lib
from tests.depdis import conftest

EVALUATED = 5


def decode(example, field):
  data = np.frombuffer(example[field], np.uint8)
  return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def look(method, state):
  """Returns (predicted, true) depth in metres of every pixel that counts."""
  pairs = []
  for i in range(EVALUATED):
    example = conftest.create_example(i)
    image = decode(example, 'image')[None, ..., ::-1]
    found = method.predict(state, jnp.asarray(image))['depth'][0]
    true = decode(example, 'depth') / 100
    counted = (true > 1e-3) & (true < 80)
    pairs.append([np.asarray(found, np.float64)[counted], true[counted]])
  found, true = np.concatenate(pairs, 1)
  return np.clip(found, 1e-3, 80), true


@pytest.mark.parametrize('row', ['M1', 'M2'])
def test_rows_have_depth_errors(config, row, capsys):
  config.method = depdis.get_config(f'ablation={row}').method
  method = methods.create(config)
  assert method.task.density == (row == 'M2')
  state = jax.jit(method.init)(*workdir_lib.init_args(config, method))
  # An untrained network's depth is beyond 80 m, or not positive.
  depth = state.nets['task'].params['depth']
  last = depth['enc5_3' if row == 'M2' else 'enc4_3']
  last['bias'] = last['bias'] + 0.5
  found, true = look(method, state)
  assert len(np.unique(found)) > 1
  error, ratio = found - true, np.maximum(found / true, true / found)
  expected = {
    'abs_rel': (np.abs(error) / true).mean(),
    'sq_rel': (error**2 / true).mean(),
    'rms': np.sqrt((error**2).mean()),
    'log_rms': np.sqrt((np.log(found / true) ** 2).mean()),
    **{f'delta{k}': (ratio < 1.25**k).mean() for k in (1, 2, 3)},
    'pixels': len(true),
  }
  assert 0 < expected['delta1'] <= expected['delta3'] < 1
  result = evaluation.run(method, state, config, step=0)
  figures = {k: x['value'] for k, x in result['figures'].items()}
  assert [x for x in figures if x.startswith('depth_')] == [
    f'depth_{k}' for k in expected
  ]
  for name, value in expected.items():
    assert figures[f'depth_{name}'] == pytest.approx(value, rel=1e-4), name
  # The same in the table that `jaxuda evaluate` prints.
  scores.print_scores('scores', {row: result})
  lines = capsys.readouterr().out.splitlines()
  (line,) = (x for x in lines if 'depth_rms' in x)
  assert f'{expected["rms"]:.2f}' in line
