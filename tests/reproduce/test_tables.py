"""The tables of the papers: names, runs, and quoted rows."""

import functools

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.reproduce import arguments
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.streets.domains import wide
from tests.reproduce import fake_runs

TABLES = fake_runs.TABLES
STATISTICS = 'source-only + target statistics'

# Table -> (runs on its first pair, and on streets with both baselines), of one
# seed. Quoted rows have none; M2 and the CycleGAN are run before other rows.
# Tables that are impossible on `streets` say why.
RUNS = {
  'dada/results': (4, 5),
  'dada/coarse7': (6, 5),
  'dada/ablation': (7, 9),
  'dada/fraction': (6, 8),
  'dada/pictures': (3, 3),
  'depdis/results': (3, 5),
  'depdis/coarse7': (1, 3),
  'depdis/ablation': (8, 10),
  'depdis/modules': (4, 6),
  'depdis/choices': (5, 7),
  'depdis/depth': (2, 4),
  'depdis/sensitivity': (3, 5),
  'depdis/density': (1, 1),
  'depdis/tsne': (2, 2),
  'corda/results': (2, 4),
  'corda/gta': (2, 4),
  'corda/ablation': (5, 7),
  'corda/depth': (2, 4),
  'corda/init': (2, 'all rows of corda/init are'),
  'corda/pictures': (2, 2),
  'gio_ada/ablation': (12, 14),
  'gio_ada/kitti': (4, 6),
  'gio_ada/input': (7, 9),
  'gio_ada/output': (5, 7),
  'gio_ada/results': (4, 6),
  'gio_ada/translations': (3, 3),
  'all/methods': (12, 11),
  'all/breadth': (10, 'no row on it; expected one of streets2camvid'),
}


def _plan(table, **options):
  options = {'rows': (), 'seeds': (1,), 'baselines': True, **options}
  return fake_runs.make_plan('out', table=table, **options)


def test_tables_and_figures_have_the_papers_numbers():
  numbered = {
    'dada': (1, 2, 3, 4, 'figure1'),
    'depdis': (1, 2, 3, 4, 5, 'figure2', 'figure3', 'figure4'),
    'corda': (2, 3),
    'gio_ada': (1, 2, 3, 4, 'figure4'),
  }
  names = [f'{paper}/{x}' for paper, xs in numbered.items() for x in xs]
  assert sorted(names) == sorted(
    name for table in TABLES.values() for name in table.other_names
  )
  for name in names:
    assert arguments.find_table(TABLES, name) in TABLES


def test_breadth_has_a_row_for_each_kind_of_it():
  sources = [
    run.config.data.source.dataset
    for run in _plan('all/breadth', pair='').runs.values()
  ]
  domains = ['source', *(f'wide-{kind}' for kind in wide.KINDS), 'wide']
  assert sources == [f'streets/{domain}_180x240' for domain in domains]


@pytest.mark.parametrize('name', RUNS)
def test_the_number_of_runs(name):
  own, small = RUNS[name]
  assert len(_plan(name, pair='').runs) == own
  if isinstance(small, int):
    assert len(_plan(name).runs) == small
  else:
    with pytest.raises(errors.UserError, match=small):
      _plan(name)


def test_every_table_is_counted():
  assert set(RUNS) == set(TABLES)


def test_quoted_rows_make_no_run():
  plan = _plan('dada/results', pair='')
  quoted = {row.label: row for row in plan.rows if row.quoted}
  assert {k: row.paper for k, row in quoted.items()} == {
    'SPIGAN-no-PI': {'mIoU16': 35.8, 'mIoU13': 41.2},
    'SPIGAN': {'mIoU16': 36.8, 'mIoU13': 42.4},
    'AdaptPatch': {'mIoU13': 46.3},
    'CLAN': {'mIoU13': 47.8},
  }
  assert all(row.runs == {} for row in quoted.values())
  assert all(row.quoted == "CTRL's README" for row in quoted.values())
  names = ('source-only', 'AdaptSegNet', 'AdvEnt', 'DADA')
  assert list(plan.runs) == [f'{name}/seed1' for name in names]
  assert plan.runs['AdaptSegNet/seed1'].config.method.align == 'output'
  # Not next to figures of another pair.
  plan = _plan('corda/results', pair='gta2cityscapes')
  assert [row.label for row in plan.rows] == ['DACS', 'CorDA']
  # Depth Distribution quotes other figures of CTRL.
  plan = _plan('depdis/coarse7', pair='synthia2mapillary_low')
  assert list(plan.runs) == ['Depth_Distribution/seed1']
  assert [row.paper for row in plan.rows] == [
    {'mIoU7': 55.8},
    {'mIoU7': 62.5},
    {'mIoU7': 60.3},
  ]


def test_gain_from_depth_is_over_the_same_method_without():
  plan = _plan('dada/results', pair='')
  assert {x.label: x.without_depth for x in plan.rows if x.without_depth} == {
    'SPIGAN': 'SPIGAN-no-PI',
    'DADA': 'AdvEnt',
  }
  # Not relative to a missing row.
  plan = _plan('dada/results', pair='', rows=('DADA',))
  assert [row.without_depth for row in plan.rows] == ['']


def test_baselines_come_first_on_small_pairs():
  plan = _plan(
    'dada/ablation',
    rows=('S7', 'S1'),
    overrides=('--config.method.lambda_adv=3.0', '--config.stop_step=7'),
  )
  assert [row.label for row in plan.rows] == [
    *('source-only', STATISTICS, 'S1', 'S7')
  ]
  assert plan.references == ('source-only', STATISTICS)
  runs = [plan.runs[row.runs[1]] for row in plan.rows]
  assert [run.config.name for run in runs] == [
    *('source_only', 'source_only', 'dada', 'dada')
  ]
  # They have no discriminator and thus no weight for it.
  assert runs[3].config.method.lambda_adv == 3.0
  assert 'lambda_adv' not in runs[0].config.method
  assert [run.steps for run in runs] == [7, 7, 7, 7]
  assert [run.config.method.statistics for run in runs[:2]] == [
    *('source', 'target')
  ]
  for pair in ('', 'gta2cityscapes'):
    plan = _plan('dada/ablation', pair=pair)
    assert plan.references == ('S1',)
    assert len(plan.rows) == 7
  plan = _plan('dada/ablation', baselines=False)
  assert plan.references == ('S1',)


@pytest.mark.parametrize('statistics', ['target', 'both'])
def test_baselines_keep_the_statistics_that_they_are_named_for(statistics):
  plan = _plan(
    'dada/ablation',
    rows=('S7',),
    overrides=(f'--config.method.statistics={statistics}',),
  )
  assert [run.config.method.statistics for run in plan.runs.values()] == [
    *('source', 'target', statistics)
  ]


def test_a_baseline_that_is_a_row_of_the_table_comes_once():
  plan = _plan('dada/results', rows=('DADA',))
  assert [row.label for row in plan.rows] == ['source-only', STATISTICS, 'DADA']
  assert plan.rows[0].paper == {'mIoU16': 32.2}


def test_the_network_of_vistas_is_looked_at_on_cityscapes():
  plan = _plan(
    'dada/coarse7',
    pair='synthia2cityscapes_low',
    overrides=('--config.total_steps=600', '--config.stop_step=600'),
  )
  assert plan.against == 'source-only'
  run = plan.runs['DADA_of_Vistas/seed1']
  before = plan.runs['DADA_on_Vistas/seed1']
  assert run.before == before.name
  assert before.config.data.target.dataset == 'mapillary'
  assert before.config.classes == run.config.classes == 'coarse7'
  assert before.steps == 600
  assert run.config.data.target.dataset == 'cityscapes'
  assert run.config.initial == 'out/DADA_on_Vistas/seed1'
  # It leaves the network unchanged.
  assert run.steps == run.config.total_steps == 1
  assert run.config.optim.learning_rate == 0
  assert run.config.network.norm == 'frozen'
  assert run.config.method.align == before.config.method.align == 'dada'
  papers = {row.label: row.paper for row in plan.rows}
  assert papers['DADA of Vistas'] == {'negative_transfer_rate': 6.0}
  assert papers['AdvEnt'] == {'mIoU7': 59.4, 'negative_transfer_rate': 11.0}
  assert papers['source-only'] == {'mIoU7': 50.0}


def test_a_step_of_that_row_leaves_the_network_as_it_is():
  plan = _plan(
    'dada/coarse7',
    pair='synthia2cityscapes_low',
    rows=('DADA of Vistas',),
    overrides=('--config.network.backbone=resnet_tiny',),
  )
  method = methods.create(plan.runs['DADA_of_Vistas/seed1'].config)
  shape = (1, 40, 56)
  generator = np.random.default_rng(0)
  arrays = {
    'image': generator.integers(0, 256, (*shape, 3), np.uint8),
    'label': generator.integers(0, 7, shape).astype(np.int32),
    'depth': generator.uniform(1, 90, shape).astype(np.float32),
    'depth_valid': np.ones(shape, bool),
  }
  batch = {'source': arrays, 'target': {'image': arrays['image']}}
  state = jax.jit(method.init)(rng.for_init(0), batch)
  step = jax.jit(functools.partial(parallel.run_alone, method.train_step))
  new, losses = step(state, batch, rng.root(0))
  assert losses['loss_seg'] > 0
  for part in ('params', 'batch_stats'):
    before, after = (getattr(x.nets['task'], part) for x in (state, new))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_the_oracle_is_trained_on_the_target():
  plan = _plan('dada/coarse7', pair='synthia2mapillary')
  (row,) = (x for x in plan.rows if x.label == 'oracle')
  assert row.paper == {'mIoU7': 82.4}
  config = plan.runs['oracle/seed1'].config
  assert config.data.source.dataset == 'mapillary'


def test_weights_of_the_sensitivity_study():
  plan = _plan('depdis/sensitivity', pair='')
  assert [
    (x.config.method.lambda_balance, x.config.method.lambda_depth)
    for x in plan.runs.values()
  ] == [(0.01, 0.005), (0.1, 0.1), (0.001, 0.001)]
  assert {run.config.method.align for run in plan.runs.values()} == {
    'seg_density'
  }


def test_depth_errors_need_depth_of_the_target():
  for pair, dataset in (
    ('', 'cityscapes/disparity'),
    ('streets', 'streets/target'),
  ):
    plan = _plan('depdis/depth', pair=pair)
    configs = [run.config for run in plan.runs.values()]
    assert {x.data.target.dataset for x in configs} == {dataset}
    assert plan.shows == ('depth',)
  assert plan.rows[-1].paper['depth_sq_rel'] == 9.0
  assert plan.rows[-1].paper['depth_delta3'] == 0.66


def test_what_is_drawn_of_the_runs():
  plan = _plan('gio_ada/translations', seeds=(5, 6))
  assert plan.commands == (
    ('translate', '--workdir=out/cyclegan/seed5', '--out=out/drawn/cyclegan'),
    ('translate', '--workdir=out/full/seed5', '--out=out/drawn/gio_ada'),
  )
  # Only what the chosen rows suffice for.
  plan = _plan('gio_ada/translations', rows=('full',))
  assert plan.commands == (
    ('translate', '--workdir=out/full/seed1', '--out=out/drawn/gio_ada'),
  )
  plan = _plan('dada/pictures')
  assert plan.commands == (
    (
      *('report', 'out/source-only/seed1', 'out/AdvEnt/seed1'),
      *('out/DADA/seed1', '--out=out/drawn/report.html'),
    ),
  )
  for name, table in TABLES.items():
    assert len(_plan(name, pair='').commands) == len(table.commands)
