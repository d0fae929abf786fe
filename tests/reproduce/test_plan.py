import json

import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import labels
from jaxuda.evaluate import metrics
from jaxuda.reproduce import arguments
from jaxuda.reproduce import plan as plan_lib
from jaxuda.ui import command
from jaxuda.weights import initial
from tests.reproduce import fake_runs
from tests.reproduce import test_tables

TABLES = fake_runs.TABLES
NO_DEPTH = dict.fromkeys(
  ('abs_rel', 'sq_rel', 'rms', 'log_rms', 'delta1', 'delta2', 'delta3'), 0
) | {'pixels': 0}
ROWS = [(name, row) for name, table in TABLES.items() for row in table.rows]


def test_dada_3_is_the_ablation_with_the_published_figures():
  assert arguments.find_table(TABLES, 'dada/3') == 'dada/ablation'
  table = TABLES['dada/ablation']
  published = {
    row.label: row.paper['synthia2cityscapes']['mIoU16'] for row in table.rows
  }
  assert published == dict(
    zip(
      ('S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'S7'),
      (32.2, 40.8, 40.7, 35.7, 38.0, 41.6, 42.6),
      strict=True,
    )
  )


def test_rows_of_corda_are_scored_alike():
  """All have 19 outputs on SYNTHIA, where 16 and 13 classes are scored."""
  plan = fake_runs.make_plan('D', table='corda/ablation', rows=(), pair='')
  assert {run.config.classes for run in plan.runs.values()} == {'cityscapes19'}
  means = labels.get_class_set('cityscapes19').subsets
  assert {x for row in plan.rows for x in row.paper} == {'mIoU16', 'mIoU13'}
  assert {'mIoU16', 'mIoU13'} <= set(means)


@pytest.mark.parametrize('name', TABLES)
def test_every_row_is_a_method_on_its_own_pairs_and_on_streets(name):
  table = TABLES[name]
  on_streets = test_tables.RUNS[name][1]
  for pair in (*table.pairs, *['streets'] * isinstance(on_streets, int)):
    plan = fake_runs.make_plan('D', table=name, rows=(), pair=pair, seeds=(4,))
    assert [row.label for row in plan.rows if not row.quoted] == [
      row.label
      for row in table.rows
      if row.config and (not row.pairs or pair in row.pairs)
    ]
    for run in plan.runs.values():
      methods.create(run.config)
      elsewhere = run.name == 'DADA_on_Vistas/seed4'
      assert run.config.pair == ('synthia2mapillary_low' if elsewhere else pair)
      assert run.config.seed == 4
      # From scratch on streets, from published weights elsewhere.
      scratch = pair == 'streets' or run.config.name == 'cyclegan'
      assert initial.is_given(run.config.initial) != scratch


@pytest.mark.parametrize(
  ('name', 'row'), ROWS, ids=[f'{name}-{row.label}' for name, row in ROWS]
)
def test_published_figures_are_scored_on_their_pair(name, row):
  """Their names are those of the evaluation with the pair's classes."""
  table = TABLES[name]
  for pair, figures in row.paper.items():
    classes = f',classes={table.classes}' if table.classes else ''
    # A quoted row has the classes of one that is not.
    config = row.config or next(x.config for x in table.rows if x.config)
    path = fake_runs.ROOT / 'configs' / config
    config = command.read_config(f'{path}:pair={pair}{classes}')
    class_set = labels.get_class_set(config.classes)
    known = {*class_set.subsets, 'IoU', 'negative_transfer_rate'}
    depth = {f'depth_{k}' for k in metrics.depth_errors(NO_DEPTH)}
    assert figures
    assert set(figures) <= known | depth
    assert set(figures.get('IoU', ())) <= set(class_set.names)


def test_commands_of_a_table():
  plan = fake_runs.make_plan(
    'out', seeds=(1, 5), overrides=('--config.stop_step=600',)
  )
  # Seed by seed, so that finished runs make up a table.
  names = ['S1/seed1', 'S7/seed1', 'S1/seed5', 'S7/seed5']
  assert list(plan.runs) == names
  run = plan.runs['S7/seed5']
  folder = fake_runs.ROOT / 'configs'
  assert str(run) == (
    f'python -m jaxuda.main --config={folder}/dada.py:pair=streets,ablation=S7'
    ' --workdir=out/S7/seed5 --config.seed=5 --config.stop_step=600'
  )
  assert (run.steps, plan.steps) == (600, 2400)
  assert run.config.method.align == 'dada'
  assert plan.rows[1].runs == {1: 'S7/seed1', 5: 'S7/seed5'}
  assert plan.paper_pair == 'synthia2cityscapes'


@pytest.mark.parametrize('field', ['dataset', 'manual_dir', 'depth_dir'])
def test_one_folder_is_not_given_for_two_targets(field):
  flag = f'--config.data.target.{field}=CITYSCAPES'
  options = {'table': 'dada/coarse7', 'pair': '', 'overrides': (flag,)}
  with pytest.raises(
    errors.UserError,
    match=f'row DADA on Vistas: {flag} after --, .*pair=synthia2mapillary_low',
  ):
    fake_runs.make_plan('out', rows=('DADA of Vistas',), **options)
  # Rows of the table's pair have it, and so has an earlier run on this pair.
  (run,) = fake_runs.make_plan(
    'out', rows=('DADA',), seeds=(1,), **options
  ).runs.values()
  assert run.config.data.target[field] == 'CITYSCAPES'
  plan = fake_runs.make_plan(
    'out', table='gio_ada/ablation', rows=('cg',), overrides=(flag,)
  )
  assert len(plan.runs) == 6


def test_the_cyclegan_comes_before_its_row():
  plan = fake_runs.make_plan(
    'out',
    table='gio_ada/ablation',
    rows=('cg', 'na'),
    seeds=(2,),
    # A field that the CycleGAN does not have.
    overrides=('--config.method.lambda_seg=2.0',),
  )
  assert list(plan.runs) == ['na/seed2', 'cyclegan/seed2', 'cg/seed2']
  run = plan.runs['cg/seed2']
  assert run.before == 'cyclegan/seed2'
  assert run.config.generator == 'out/cyclegan/seed2'
  assert run.config.method.lambda_seg == 2.0
  before = plan.runs['cyclegan/seed2']
  assert before.config.name == 'cyclegan'
  # It has no classes: nothing to score.
  assert not before.parts[-1].scored
  assert run.parts[-1].scored


def test_pipelines_and_twins_of_depth_distribution():
  plan = fake_runs.make_plan(
    'out', table='depdis/ablation', rows=('M2', 'M4', 'S5'), seeds=(1,)
  )
  # S5 is M2, which is trained once; M4 starts from it.
  assert list(plan.runs) == ['M2/seed1', 'M4/seed1']
  assert [row.same_as for row in plan.rows] == ['', '', 'M2']
  assert plan.runs['M2/seed1'].command[:2] == ('-m', 'jaxuda.main')
  run = plan.runs['M4/seed1']
  assert run.command[:2] == ('-m', 'jaxuda.depdis.run')
  assert run.before == 'M2/seed1'
  assert run.config.self_training.adversarial == 'out/M2/seed1'
  assert [str(part.workdir) for part in run.parts] == [
    'out/M4/seed1/round1/training',
    'out/M4/seed1/round2/training',
  ]
  assert run.steps == 2 * 500


def test_a_row_brings_the_one_that_it_begins_with():
  plan = fake_runs.make_plan(
    'out',
    table='depdis/ablation',
    rows=('M4',),
    pair='synthia2cityscapes',
    seeds=(1,),
  )
  assert list(plan.runs) == ['M2/seed1', 'M4/seed1']
  assert [row.label for row in plan.rows] == ['M4']
  # Both start from the published weights: it is the same training.
  initial = {run.config.initial for run in plan.runs.values()}
  assert initial == {'pretrained/DeepLab_resnet_pretrained_imagenet.pth'}


def test_a_pipeline_trains_all_of_its_stages():
  plan = fake_runs.make_plan(
    'out', table='depdis/results', rows=('Depth Distribution',), seeds=(1,)
  )
  (run,) = plan.runs.values()
  assert [part.workdir.name for part in run.parts] == [
    'adversarial',
    'training',
    'training',
  ]
  assert run.steps == 1500 + 2 * 500


def test_the_last_override_of_a_field_counts():
  plan = fake_runs.make_plan(
    'out',
    pair='synthia2cityscapes',
    seeds=(1,),
    overrides=(
      '--config.data.source.size=(1, 2)',
      '--config.data.source.size=(32, 64)',
      '--config.initial=mine.pth',
    ),
  )
  run = plan.runs['S1/seed1']
  assert run.config.data.source.size == (32, 64)
  assert run.config.initial == 'mine.pth'
  assert 'pretrained/' not in str(run)


@pytest.mark.parametrize(
  ('text', 'seeds'),
  [('3', (1, 2, 3)), ('1,5,7', (1, 5, 7)), ('5,', (5,)), ('1', (1,))],
)
def test_seeds(text, seeds):
  assert arguments.parse_seeds(text) == seeds


@pytest.mark.parametrize(
  'text', ['0', '', 'x', '1,1', '-3', '1,,2', ',', '4294967296,']
)
def test_wrong_seeds(text):
  with pytest.raises(errors.UserError, match=f'--seeds={text}; expected the'):
    arguments.parse_seeds(text)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'rows': ('S9',)},
      "unknown row 'S9' of dada/ablation; expected one of S1",
    ),
    ({'pair': 'sky'}, "unknown pair 'sky'; expected one of streets"),
    ({'overrides': ('seed=3',)}, "'seed=3' after --; expected --config.field="),
    ({'overrides': ('--config.seed=3',)}, 'expected --seeds'),
    (
      {'overrides': ('--config.method.lambda_ad=3',)},
      'row S1: unknown field config.method.lambda_ad; expected one of'
      ' config.method.lambda_adv',
    ),
    ({'overrides': ('--config.total_steps=9',)}, 'at most total_steps=9'),
    (
      {'table': 'dada/results', 'rows': ('SPIGAN', 'CLAN')},
      '--rows=SPIGAN,CLAN: these are quoted, so there is nothing to run;'
      ' expected one of source-only, AdaptSegNet, AdvEnt, DADA',
    ),
    ({'table': 'corda/init', 'rows': ()}, 'are the same run with pair=streets'),
  ],
)
def test_mistakes_are_named(options, message):
  with pytest.raises(errors.UserError) as caught:
    fake_runs.make_plan('out', **options)
  assert message in str(caught.value)


def test_unknown_table():
  with pytest.raises(errors.UserError, match="unknown table 'dada/9'; expec"):
    arguments.find_table(TABLES, 'dada/9')


def test_rows_that_would_be_scored_differently_are_not_trained():
  # Depth Distribution is scored at the network's size on Mapillary.
  with pytest.raises(errors.UserError, match='Depth Distribution would be sco'):
    fake_runs.make_plan(
      'out', table='depdis/results', rows=(), pair='synthia2mapillary'
    )


def test_depth_is_no_part_of_what_is_scored():
  assert plan_lib.same_images('cityscapes/stereo') == 'cityscapes'
  assert plan_lib.same_images('vkitti/2.0.3') == 'vkitti/2.0.3'
  assert plan_lib.same_images('streets/target') == 'streets/target'


def test_configs_can_be_written_down():
  plan = fake_runs.make_plan('out', seeds=(1,))
  for run in plan.runs.values():
    json.dumps(run.config.to_dict())
