"""Tables 1 to 4 of DADA, and its pictures.

Figures of methods that are not implemented here are quoted from CTRL's README.
"""

import dataclasses

from configs.tables import spec

_PAPER = 'DADA (Vu et al., ICCV 2019)'
# The low resolution has more rows.
_ALL_7 = (spec.S2C_LOW, spec.S2C, spec.S2M_LOW, spec.S2M)
_NO_PI = 'SPIGAN-no-PI'


def _ablation(label, **figures):
  return spec.Row(
    label=label,
    config='dada.py',
    arguments=f'ablation={label}',
    paper={spec.S2C: figures},
  )


def _fraction(percent, published):
  return spec.Row(
    label=f'{percent} %',
    config='dada.py',
    arguments=f'fraction={percent / 100}',
    paper=spec.cityscapes(published),
  )


def _figures7(means, negative=None):
  """Figures by pair; None where the paper has none, or none is known."""
  figures = {}
  for pair, mean in zip(_ALL_7, means, strict=True):
    figures[pair] = {} if mean is None else {'mIoU7': mean}
    if pair in (negative or {}):
      figures[pair]['negative_transfer_rate'] = negative[pair]
  return {pair: found for pair, found in figures.items() if found}


def _coarse7(label, config, *means, negative=None, **more):
  return spec.Row(
    label=label, config=config, paper=_figures7(means, negative), **more
  )


def _quote7(label, *means, negative=None, without_depth=''):
  return spec.quote(
    label,
    spec.CTRL_README,
    without_depth=without_depth,
    **_figures7(means, negative),
  )


# Trained for Vistas and shown on Cityscapes: a step at rate 0 with frozen
# running statistics leaves a network as it was.
_OF_VISTAS = spec.Row(
  label='DADA of Vistas',
  config='dada.py',
  before=spec.Before(
    row=spec.Row(
      label='DADA on Vistas',
      config='dada.py',
      arguments=f'pair={spec.S2M_LOW}',
    ),
    field='initial',
  ),
  fixed=(
    *('--config.optim.learning_rate=0.0', '--config.network.norm=frozen'),
    *('--config.total_steps=1', '--config.stop_step=1'),
  ),
  pairs=(spec.S2C_LOW,),
  paper={spec.S2C_LOW: {'negative_transfer_rate': 6.0}},
)

_RESULTS = (
  dataclasses.replace(spec.SOURCE_ONLY, paper=spec.cityscapes(32.2)),
  spec.quote(_NO_PI, spec.CTRL_README, **spec.cityscapes(35.8, 41.2)),
  spec.quote(
    'SPIGAN',
    spec.CTRL_README,
    without_depth=_NO_PI,
    **spec.cityscapes(36.8, 42.4),
  ),
  spec.Row(
    label='AdaptSegNet',
    config='advent.py',
    arguments='ablation=output',
    paper=spec.cityscapes(None, 45.9),
  ),
  spec.quote('AdaptPatch', spec.CTRL_README, **spec.cityscapes(None, 46.3)),
  spec.quote('CLAN', spec.CTRL_README, **spec.cityscapes(None, 47.8)),
  spec.ADVENT,
  spec.DADA,
)

TABLES = {
  'dada/results': spec.Table(
    what='DADA against other methods, and the gain from depth, 16 classes',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=_RESULTS,
    other_names=('dada/1',),
    shows=('IoU',),
  ),
  'dada/coarse7': spec.Table(
    what='7 classes, on Cityscapes and Vistas, at full and low resolution;'
    ' negative transfer',
    paper=_PAPER,
    pairs=_ALL_7,
    rows=(
      _coarse7('source-only', 'source_only.py', 50.0, None, None, None),
      _quote7(_NO_PI, 46.0, None, 26.8, None),
      _quote7(
        *('SPIGAN', 53.4, None, 44.1, None),
        negative={spec.S2C_LOW: 9.0, spec.S2M_LOW: 42.0},
        without_depth=_NO_PI,
      ),
      _coarse7(
        *('AdvEnt', 'advent.py', 59.4, 67.2, 54.0, 65.2),
        negative={spec.S2C_LOW: 11.0},
      ),
      _coarse7(
        *('DADA', 'dada.py', 63.4, 70.4, 55.8, 67.6),
        negative={spec.S2C_LOW: 5.0, spec.S2M_LOW: 30.0},
        without_depth='AdvEnt',
      ),
      _OF_VISTAS,
      _coarse7(
        *('oracle', 'source_only.py', None, 80.8, None, 82.4),
        arguments='train_on=target',
      ),
    ),
    classes='coarse7',
    other_names=('dada/2',),
    against='source-only',
    shows=('IoU',),
  ),
  'dada/ablation': spec.Table(
    what='alignment, depth loss and fusion: rows S1 to S7',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      _ablation('S1', mIoU16=32.2),
      _ablation('S2', mIoU16=40.8),
      _ablation('S3', mIoU16=40.7),
      _ablation('S4', mIoU16=35.7),
      _ablation('S5', mIoU16=38.0),
      _ablation('S6', mIoU16=41.6),
      _ablation('S7', mIoU16=42.6, mIoU13=49.8),
    ),
    other_names=('dada/3',),
  ),
  'dada/fraction': spec.Table(
    what='share of the source images used, against AdvEnt on all of them',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      spec.Row(
        label='AdvEnt 100 %',
        config='advent.py',
        paper=spec.cityscapes(40.8),
      ),
      _fraction(10, 32.6),
      _fraction(30, 35.1),
      _fraction(50, 40.9),
      _fraction(70, 41.0),
      _fraction(100, 42.6),
    ),
    other_names=('dada/4',),
  ),
  'dada/pictures': spec.Table(
    what='label maps without adaptation, of AdvEnt and of DADA, side by side',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(spec.SOURCE_ONLY, spec.ADVENT, spec.DADA),
    other_names=('dada/figure1',),
    baselines={},
    commands=(
      'jaxuda report {source-only} {AdvEnt} {DADA} --out={out}/report.html',
    ),
  ),
}
