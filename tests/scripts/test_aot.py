import dataclasses
import importlib
import importlib.util
import json
import pathlib
import sys

import jax
import pytest

from jaxuda import errors
from jaxuda.models import lowering
from jaxuda.step import rng

ROOT = pathlib.Path(__file__).resolve().parents[2]
# As when scripts are run: they import one another.
sys.path.append(str(ROOT / 'scripts'))
aot = importlib.import_module('aot')
chips = importlib.import_module('accelerator.chips')
traffic = importlib.import_module('accelerator.traffic')

# The smallest network and the shortest step.
SMALL = [
  *('--method=source_only', '--arguments=pair=streets', '--dtype=float32'),
  *('--backbone=resnet_tiny', '--source=64x96', '--target=64x96'),
  *('--batch=1', '--norm=sync'),
]


def make_cases(*flags):
  return aot.make_cases(aot.parse_args([*SMALL, *flags]))


def test_collectives_in_the_text_of_a_program():
  text = """
  %all-reduce-start = (f32[3,2]{1,0:T(8,128)}, bf16[4]{0}, /*index=2*/f32[])
 all-reduce-start(%a, %b, %c), channel_id=1, to_apply=%add
  %all-reduce-done = (f32[3,2]{1,0}) all-reduce-done(%all-reduce-start)
  ROOT %all-gather.1 = s32[8]{0} all-gather(%d), dimensions={0}
  %copy = f32[9]{0} copy(%all-reduce-done)
""".replace('f32[])\n', 'f32[])')
  assert aot.find_collectives(text) == [
    {'kind': 'all-reduce', 'arrays': 3, 'elements': 11, 'bytes': 36},
    {'kind': 'all-gather', 'arrays': 1, 'elements': 8, 'bytes': 32},
  ]


def test_bytes_are_told_apart_by_memory():
  text = """
%fused (p: f32[9]) -> f32[9] {
  ROOT %x = f32[9]{0} negate(%p)
}
ENTRY %main.1 (a: bf16[4,8]) -> f32[8] {
  %a = bf16[4,8]{1,0:T(8,128)(2,1)} parameter(0)
  %s = ((bf16[4,8]{1,0}), bf16[1,8]{1,0:S(1)}, /*index=2*/s32[]{:S(2)})\
 slice-start(%a), slice={[0:1], [0:8]}
  %t = bf16[1,8]{1,0:T(8,128)S(1)} slice-done(%s)
  ROOT %b = f32[8]{0:T(8)} fusion(%t, %a), kind=kLoop, calls=%fused
}
"""
  # The fetch reads 16 bytes from one into the other; the fusion reads them and
  # all of %a, and writes 32.
  assert traffic.count(text) == (16 + 64 + 32, 16 + 16)


LOOP = """
%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %z = f32[] add(%x, %y)
}
%body (b: (s32[], f32[4])) -> (s32[], f32[4]) {
  %b = (s32[], f32[4]{0}) parameter(0)
  %f = f32[4]{0} get-tuple-element(%b), index=1
  %g = f32[4]{0:S(1)} fusion(%f), kind=kLoop, calls=%add
  %h = f32[4]{0} fusion(%g), kind=kLoop, calls=%add
  ROOT %r = (s32[], f32[4]{0}) tuple(%i, %h)
}
%condition (c: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)S(6)} constant(7)
  %c = (s32[], f32[4]{0}) parameter(0)
  %i = s32[]{:T(128)S(6)} get-tuple-element(%c), index=0
  ROOT %less = pred[]{:T(512)S(6)} compare(%i, %limit), direction=LT
}
%small (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %q = f32[8]{0} negate(%p)
}
%none (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}
ENTRY %main.1 (a: f32[4]) -> f32[8] {
  %a = f32[4]{0} parameter(0)
  %t = (s32[], f32[4]{0}) tuple(%zero, %a)
  %w = (s32[], f32[4]{0}) while(%t), condition=%condition, body=%body, META
  %o = f32[8]{0} custom-call(), custom_call_target="AllocateBuffer"
  ROOT %k = f32[8]{0} conditional(%s, %o, %o),\
 branch_computations={%none, %small}
}
"""


@pytest.mark.parametrize(
  ('old', 'new', 'trips'),
  [
    ('META', 'metadata={op_name="while"}', 7),
    ('META', 'backend_config={"known_trip_count":{"n":"3"}}', 3),
    # How often they run is not in the text.
    ('constant(7)', 'parameter(1)', 1),
    ('direction=LT', 'direction=NE', 1),
    ('compare(%i, %limit)', 'compare(%i, %other)', 1),
  ],
)
def test_bytes_of_loops_and_branches(old, new, trips):
  # 16 bytes from one memory into the other and back in every round; a buffer of
  # 32, of which the larger branch reads and writes as many.
  assert traffic.count(LOOP.replace(old, new)) == (
    trips * (16 + 16) + 32 + 64,
    trips * (16 + 16),
  )


def test_an_estimate_below_zero_is_none():
  assert aot.estimate({'optimal_seconds': 0.25}) == 0.25
  assert aot.estimate({'optimal_seconds': -498.0}) is None
  assert aot.estimate({}) is None


def test_every_combination_is_a_case():
  cases = make_cases('--topology=v5e:1x1,v5p:2x2x1', '--remat=no,yes')
  assert [(x.topology, x.remat) for x in cases] == [
    *(('v5e:1x1', False), ('v5e:1x1', True)),
    *(('v5p:2x2x1', False), ('v5p:2x2x1', True)),
  ]
  (case,) = {dataclasses.replace(x, topology='', remat=False) for x in cases}
  assert (case.method, case.batch, case.rewrites) == ('source_only', 1, 'auto')


@pytest.mark.parametrize(
  'topology',
  ['v9:2x2', 'v5e:2x2x2', 'v5p:2x2', 'v5e', 'h100', 'v5e:2xax2', 'v5e:0x2'],
)
def test_unknown_topologies(topology):
  with pytest.raises(SystemExit, match=r'unknown topology .* expected a name'):
    chips.find_devices(topology)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--program=step,stpe'], '--program=step,stpe; expected some of step, ev'),
    (['--remat=maybe'], '--remat=maybe; expected some of no, yes'),
    (['--batch=-1'], '--batch=-1; expected numbers of images, from 0'),
    (['--source=64'], "--source='64'; expected HEIGHTxWIDTH"),
    (['--method=dada,dadda'], 'no config dadda; expected FILE.py, or one of'),
    (
      ['--method=daformer', '--arguments='],
      '--method=daformer without --arguments; expected those of its config',
    ),
    (['--arguments=pair=sky'], "unknown pair 'sky'; expected one of streets"),
    (['--dtype=float16'], "network.dtype='float16'; expected one of float32"),
    (['--norm=sync,bacth'], "network.norm='bacth'; expected one of batch"),
    (['--backbone=resnet'], "unknown backbone 'resnet'; expected one of"),
    (['--rewrites=fast'], "unknown rewrite 'fast'; expected auto, all, none"),
    (['--topology=v5e:1x1,v9:1x1'], "unknown topology 'v9:1x1'; expected a"),
    (['--out=LIST'], 'LIST holds something else'),
    (['--out=FOLDER'], 'FOLDER is a folder; expected a file to write'),
  ],
)
def test_mistakes_are_named_before_anything_is_compiled(
  monkeypatch, capsys, tmp_path, flags, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'FOLDER').mkdir()
  (tmp_path / 'LIST').write_text('[1]')
  monkeypatch.setattr(aot, 'compile_case', pytest.fail)
  monkeypatch.setattr(sys, 'argv', ['aot.py', *SMALL, *flags])
  status = said = None
  try:
    status = aot.benchmark.run(aot.main)
  except SystemExit as e:
    status, said = (1, e.code) if isinstance(e.code, str) else (e.code, None)
  assert status in (1, 2)
  assert message in (said or capsys.readouterr().err.splitlines()[-1])


def test_what_was_compiled_is_written_at_once(monkeypatch, capsys, tmp_path):
  def compile_case(case):
    if case.batch == 2:
      raise errors.UserError('too large')
    return {'gib': 1.0}

  path = tmp_path / 'new' / 'aot.json'
  monkeypatch.setattr(aot, 'compile_case', compile_case)
  argv = ['aot.py', *SMALL, '--batch=1,2', f'--out={path}']
  monkeypatch.setattr(sys, 'argv', argv)
  assert aot.benchmark.run(aot.main) == 1
  assert 'error: too large' in capsys.readouterr().err
  (entry,) = json.loads(path.read_text())
  assert (entry['batch'], entry['gib']) == (1, 1.0)
  assert [x.name for x in path.parent.iterdir()] == ['aot.json']


def test_a_table_has_a_row_for_each_entry():
  (case,) = make_cases('--topology=v5e:2x2')
  collectives = [{'kind': 'all-reduce', 'bytes': 3e6}, {'bytes': 4.0}]
  entry = {
    **dataclasses.asdict(case),
    **{'fits': False, 'gib': 20.25, 'flops': 1.5e12, 'bytes': 2e10},
    **{'flops_over_necessary': 1.25, 'bytes_over_necessary': 3.5},
    **{'matrix_seconds': 0.01, 'memory_seconds': 0.02},
    **{'collectives': collectives, 'compile_cpu_seconds': 60.0},
  }
  *_, row = aot.make_table([entry]).splitlines()
  assert row == (
    '| source_only | step | float32 | auto | v5e:2x2 | 1 | **no** | 20.2'
    ' | 1.5 | 20 | 1.25, 3.5 | 10 / 20 / - | 2: 3 | 60 |'
  )


def test_a_step_lowered_for_gpus(monkeypatch):
  monkeypatch.setattr(lowering, '_target', '')
  (case,) = make_cases('--topology=cuda')
  found = aot.lower_for_cuda(case)
  # Forward, by the weights and by the maps, which the first one has not; the
  # 3x3 kernels of dilation 2 and 4 and the pyramid are products.
  assert found['optimization_barrier'] == 0
  assert found['convolution'] > 0
  assert found['dot_general'] > 0
  assert not found['custom_calls']


def test_an_evaluation_lowered_for_gpus(monkeypatch):
  monkeypatch.setattr(lowering, '_target', '')
  # A method that sees only the target.
  (case,) = make_cases(
    *('--topology=cuda', '--program=evaluation', '--method=self_training')
  )
  found = aot.lower_for_cuda(case)
  assert found['convolution'] > 0
  assert not found['collectives']


def test_an_evaluation_is_of_whole_images_of_the_target():
  flags = '--method=dacs', '--arguments=pair=gta2cityscapes', '--source='
  (case,) = make_cases(*flags, '--target=', '--program=evaluation')
  assert case.make()[2]['target'] == (512, 512)
  _, (_, image, label), _ = aot.make_program(case, jax.devices()[:1])
  assert image.shape[1:3] == label.shape[1:3] == (512, 1024)


def test_networks_are_initialised_from_the_keys_of_a_training():
  (case,) = make_cases('--topology=cuda', '--program=init')
  _, (key, _), _ = aot.make_program(case, jax.devices()[:1])
  assert key.dtype == rng.for_init(0).dtype


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='libtpu is not installed'
)
def test_a_step_exchanges_gradients_statistics_and_scalars(monkeypatch):
  monkeypatch.setattr(lowering, '_target', '')
  found = [
    aot.compile_case(case)
    for case in make_cases('--topology=v5e:2x2,v5e:16x16')
  ]
  assert [x['chips'] for x in found] == [4, 256]
  assert all(x['fits'] for x in found)
  first = found[0]
  assert all(x['collectives'] == first['collectives'] for x in found)
  assert {x['kind'] for x in first['collectives']} == {'all-reduce'}
  exchanged = sum(x['elements'] for x in first['collectives'])
  # Norms exchange means and squares forward, and their gradients backward.
  statistics = 2 * first['statistics']
  assert exchanged <= first['parameters'] + statistics + 8
  # One is for the gradients, but those of taps that never meet the map.
  largest = max(x['elements'] for x in first['collectives'])
  assert 0.8 < largest / first['parameters'] <= 1
