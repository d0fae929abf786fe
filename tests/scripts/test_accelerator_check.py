import importlib
import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.models import deeplab
from jaxuda.models import discriminators

ROOT = pathlib.Path(__file__).resolve().parents[2]
# As when scripts are run: they import one another.
sys.path.append(str(ROOT / 'scripts'))
benchmark = importlib.import_module('benchmark')
kernels = importlib.import_module('accelerator.kernels')
main = importlib.import_module('accelerator.main')
necessary = importlib.import_module('necessary')
plan = importlib.import_module('accelerator.plan')
precisions = importlib.import_module('accelerator.precisions')
resume = importlib.import_module('accelerator.resume')
settings = importlib.import_module('accelerator.settings')
table = importlib.import_module('accelerator.table')
shapes = importlib.import_module('peer.shapes')


def test_the_peer_has_our_convolutions():
  size = (96, 161)
  task = deeplab.DeepLab(
    classes=16,
    options=deeplab.Options(**benchmark.parse_rewrites('none')),
    depth=True,
    fuse=True,
  )
  image = jnp.zeros((1, *size, 3), jnp.uint8)
  variables = jax.eval_shape(task.init, jax.random.key(0), image)
  ours = necessary.conv_flops(
    lambda v: task.apply(v, image, train=True, mutable=['batch_stats']),
    variables,
  )
  theirs = shapes.task_flops(size, classes=16, padding=False)
  # The heads and the shortcuts are in another order.
  assert sorted(ours) == sorted(theirs)
  assert len(theirs) == 104 + 4 + 4
  disc = discriminators.FcDiscriminator()
  maps = jnp.zeros((1, *size, 16))
  variables = jax.eval_shape(disc.init, jax.random.key(0), maps)
  assert necessary.conv_flops(disc.apply, variables, maps) == (
    shapes.disc_flops(size, channels=16, padding=False)
  )


def test_the_peer_takes_the_official_step():
  sizes = (760, 1280), (512, 1024)
  # Counted independently, by hand, for the performance notes.
  assert [sum(shapes.task_flops(s, classes=16)) for s in sizes] == (
    pytest.approx([1486e9, 806e9], rel=1e-3)
  )
  assert shapes.step_flops(*sizes) == pytest.approx(7.18e12, rel=1e-3)
  config = settings.make_config('dada', small=False)
  method = settings.make_method(config)
  batch = settings.make_batch(config, method)
  state = jax.eval_shape(method.init, jax.random.key(0), batch)
  ours = necessary.count(method, state, batch, benchmark.sizes_of(config)).flops
  # It shows the discriminator the target's maps once more than necessary.
  theirs = shapes.step_flops(*sizes, padding=False)
  assert theirs / (ours / jax.device_count()) == pytest.approx(1.0042, abs=1e-4)


def test_every_method_has_a_setting():
  config = settings.make_config('depdis', small=False)
  method = settings.make_method(config)
  # The grid of the network's outputs at 760x1280.
  assert method.read_mixtures().grid == (96, 161)
  config = settings.make_config('corda', small=False)
  assert benchmark.sizes_of(config) == {
    'source': (512, 512),
    'target': (512, 512),
  }
  named = {
    a.split('=')[1]
    for stage in plan.large(None, 'all')
    for a in stage.command
    if a.startswith('--method=')
  }
  assert named == set(settings.PAPERS)
  assert named == set(benchmark.methods.names())


def test_states_are_drawn_alike():
  config = settings.make_config('dada', small=True)
  method = settings.make_method(config)
  batch = settings.make_batch(config, method)
  state, again = (settings.make_state(method, batch) for _ in range(2))
  assert resume.digest(state) == resume.digest(again)
  task = state.nets['task']
  block = task.params['backbone']['layer1_0']
  np.testing.assert_allclose(np.std(block['conv2']['kernel']), 0.01, rtol=0.2)
  np.testing.assert_array_equal(block['bn1']['scale'], 1)
  moved = state.replace(step=state.step + 1)
  assert resume.digest(moved) != resume.digest(state)


def test_arithmetic_is_what_is_asked_for():
  def products(precision):
    x = jnp.ones((2, 2), precisions.dtype(precision))
    with precisions.use(precision):
      (eqn,) = jax.make_jaxpr(jnp.dot)(x, x).jaxpr.eqns[-1:]
    return str(eqn)

  assert 'HIGHEST' in products('float32')
  assert 'HIGHEST' not in products('tf32')
  assert 'bf16' in products('bfloat16')


def _arguments(tmp_path, **kwargs):
  names = {'out': tmp_path, 'minutes': 1, 'small': True, 'add': False}
  return main.argparse.Namespace(**names | kwargs)


def _stage(name, code, seconds=30, group=''):
  return plan.Stage(
    name=name, command=('-c', code), seconds=seconds, group=group
  )


def test_stages_that_fail_or_hang_do_not_stop_the_others(tmp_path, capsys):
  wrote = (
    'import json, pathlib, sys, time;'
    'part = pathlib.Path(sys.argv[-1].split("=")[1]);'
    'part.write_text(json.dumps({"reached": 1}));'
  )
  stages = [
    _stage('fails', 'raise SystemExit("no such thing")'),
    _stage('hangs', wrote + 'time.sleep(60)', seconds=3),
    _stage('one', wrote, group='both'),
    _stage('two', wrote, group='both'),
  ]
  found = main.run(_arguments(tmp_path), stages)['stages']
  assert found['fails']['status'] == 'failed'
  assert found['fails']['log'] == ['no such thing']
  # The results written before are kept.
  assert found['hangs']['status'] == 'out of time'
  assert found['hangs']['reached'] == 1
  assert 3 < found['hangs']['wall_seconds'] < 20
  assert found['one']['status'] == found['two']['status'] == 'done'
  # The next one adds to it, and has no time.
  more = main.run(
    _arguments(tmp_path, add=True, minutes=0), [_stage('late', wrote)]
  )
  assert more['stages']['late']['status'] == 'no time left'
  assert more['stages']['one']['reached'] == 1
  written = json.loads((tmp_path / 'accelerator.json').read_text())
  assert written['stages'].keys() == {*found, 'late'}
  assert '| hangs | out of time |' in (tmp_path / 'accelerator.md').read_text()
  assert 'hangs' in capsys.readouterr().out


def test_stages_are_chosen_by_their_beginning():
  stages = plan.large(None, 'none')
  names = [s.name for s in plan.choose(stages, ['peaks', 'peer_bf'])]
  assert names == ['peaks', 'peer_bfloat16', 'peer_bfloat16_last']
  with pytest.raises(SystemExit, match="unknown stage 'pears'"):
    plan.choose(stages, ['pears'])
  # All rewrites, none, and all but each one.
  sets = [set(x.split('+')) for x in plan.REWRITES[2:]]
  assert [len(set(plan.REWRITES[0:2])), *map(len, sets)] == [2, 3, 3, 3, 3]


@pytest.mark.parametrize(
  ('flag', 'message'),
  [
    ('--minutes=0', '--minutes=0.0; expected more than 0'),
    ('--minutes=nan', '--minutes=nan; expected more than 0'),
    ('--out=FILE', '--out=FILE is a file; expected a folder to write to'),
    ('--golden=goldn', 'error: --golden=goldn; expected a folder with some of'),
  ],
)
def test_mistakes_are_named_before_any_stage(
  monkeypatch, capsys, tmp_path, flag, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'FILE').write_text('')
  monkeypatch.setattr(main, 'run', lambda *_: pytest.fail('a stage ran'))
  monkeypatch.setattr(sys, 'argv', ['main', '--out=OUT', flag])
  with pytest.raises(SystemExit) as caught:
    main.main()
  said = capsys.readouterr().err + str(caught.value.code)
  assert message in said
  assert not (tmp_path / 'OUT').exists()


def test_the_table():
  case = {
    'method': 'dada',
    'rewrites': 'all',
    'seconds_median': 0.05,
    'seconds_unwaited': 0.04,
    'necessary_flops': 7e12,
    'flops': 8e12,
    'bytes_accessed': 5e10,
    'compiled_gib': 4.0,
    'compile_seconds': 88.0,
  }
  ways = [
    {'way': way, 'seconds_median': s, 'seconds_unwaited': s, 'first_seconds': 9}
    for way, s in (('bfloat16', 0.2), ('bfloat16_last', 0.1))
  ]
  result = {
    'date': '2026-01-01',
    'stages': {
      'peaks': {'matmul_flops': {'bfloat16': 560e12}, 'status': 'done'},
      'dada_bfloat16': {
        'precision': 'bfloat16',
        'cases': [case, {'method': 'dada', 'skipped': 'no time left'}],
        'status': 'done',
      },
      'peer': {'ways': ways, 'torch': '2.0', 'status': 'done'},
    },
  }
  text = table.make(result)
  # A quarter of the peak; half of PyTorch's fastest.
  row = '| dada | bfloat16 | all | 50 | 40 | 0.25 | 4 | 8 | 50 | 0.5 | 88 |'
  assert row in text
  assert '| bfloat16, channels last | 100 | 100 | - | 9 |' in text
  assert 'PyTorch 2.0, 2026-01-01' in text


def test_kernels_are_told_apart():
  found = kernels.instructions(
    '  %add.1 = f32[2] add(%a, %b), metadata={op_name="jit(f)/bn1/add"}\n'
    '  ROOT %loop_fusion.2 = f32[2] fusion(%c), kind=kLoop\n'
  )
  assert found == {'add_1': 'jit(f)/bn1/add', 'loop_fusion_2': ''}
  part = kernels.part_of
  assert part('', 'nvjet_sm90_tst_128x160', '') == 'convolution'
  assert part('loop_convert_fusion', 'loop_convert_fusion', '') == 'other'
  assert part('cudnn-conv', 'void convolve_common_engine_float_NHWC', '') == (
    'convolution without matrix units'
  )
  assert part('', 'input_reduce_fusion_3', 'jit/layer1_0/bn2/reduce_sum') == (
    'norm'
  )
  assert part('', 'nchwToNhwcKernel<float>', '') == 'layout'


def test_a_step_at_the_smallest_size(tmp_path):
  part = tmp_path / 'part.json'
  command = [sys.executable, '-m', 'accelerator.steps', '--small']
  command += ['--method=dada', '--rewrites=none', '--rounds=1', '--steps=1']
  subprocess.run(
    [*command, f'--part={part}'],
    env=dict(os.environ, PYTHONPATH=f'{ROOT / "scripts"}:{ROOT}'),
    check=True,
  )
  (case,) = json.loads(part.read_text())['cases']
  # The first step of a network that knows nothing: 19 classes, two domains.
  losses = case['first_losses']
  np.testing.assert_allclose(losses['loss_seg'], math.log(19), rtol=1e-3)
  for name in ('loss_adv', 'loss_d_source', 'loss_d_target'):
    np.testing.assert_allclose(losses[name], math.log(2), rtol=1e-3)
  assert 1 < case['flops'] / case['necessary_flops'] < 1.25
  assert case['seconds_median'] > 0
  assert case['seconds_unwaited'] > 0


def test_the_command(tmp_path):
  result = subprocess.run(
    [
      *('bash', ROOT / 'scripts' / 'accelerator_check.sh', '--small'),
      *(f'--out={tmp_path}', '--stages=peaks,peer'),
    ],
    env=dict(os.environ, PYTHON=sys.executable),
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stdout + result.stderr
  stages = json.loads((tmp_path / 'accelerator.json').read_text())['stages']
  assert stages['peaks']['jax'] == jax.__version__
  assert all(x > 1e8 for x in stages['peaks']['matmul_flops'].values())
  peer = stages['peer']
  assert 1 < peer['counted']['flops'] / peer['counted']['flops_inside'] < 1.5
  if 'skipped' not in peer:
    assert 2 < peer['ways'][0]['first_losses']['loss_seg'] < 4
