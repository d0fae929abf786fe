"""Tables of the papers, for `jaxuda reproduce`.

  jaxuda reproduce --list
  jaxuda reproduce --table=dada/3 --pair=streets --seeds=3 --workdir=DIR

A row is a config, its arguments, and the figures that the paper reports: in
percent, under the names of `jaxuda evaluate`, for each pair. Where the number
of a table in its paper is known, it is another name of the table.

On the papers' pairs a network begins with the file of the official code, which
is expected in `pretrained/`; the small network begins from scratch.
"""

from collections.abc import Mapping
import dataclasses

from configs import common

_TRAIN = 'jaxuda.main'
_DEPDIS = 'jaxuda.depdis.run'
_S2C = 'synthia2cityscapes'
_GTA = 'gta2cityscapes'
_KITTI = 'vkitti2kitti'
_ALL_7 = (_S2C, f'{_S2C}_low', 'synthia2mapillary', 'synthia2mapillary_low')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
  """Weights with which a training begins.

  Attributes:
    file: name of the file in `pretrained/`.
    overrides: flags that the file needs, '--config.field=value'.
  """

  file: str
  overrides: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Before:
  """A run that a row needs before its own.

  Attributes:
    row: the row of that run; if it is in the table, it is trained only once.
    field: field of the later row's config that is set to the run's folder.
  """

  row: 'Row'
  field: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of a table.

  Attributes:
    label: name of the row.
    config: name of a file beside this one.
    arguments: arguments of the config other than pair and classes.
    by_pair: pair -> further arguments.
    overrides: flags of the row, '--config.field=value'.
    module: module of the command that trains the row.
    before: the run that must come before, or None.
    weights: weights that replace the table's, or None.
    paper: pair -> figure -> value in percent.
  """

  label: str
  config: str
  arguments: str = ''
  by_pair: Mapping[str, str] = dataclasses.field(default_factory=dict)
  overrides: tuple[str, ...] = ()
  module: str = _TRAIN
  before: Before | None = None
  weights: Weights | None = None
  paper: Mapping[str, Mapping[str, float]] = dataclasses.field(
    default_factory=dict
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """A table of a paper.

  Attributes:
    what: description in one line.
    paper: authors and venue.
    pairs: pairs of the paper; the first is the default.
    rows: rows in the paper's order; the others are compared with the first.
    weights: weights of networks that are not trained from scratch.
    classes: the class set; '' for the pair's default.
    other_names: other names of the table, such as its number in the paper.
  """

  what: str
  paper: str
  pairs: tuple[str, ...]
  rows: tuple[Row, ...]
  weights: Weights
  classes: str = ''
  other_names: tuple[str, ...] = ()


_IMAGENET = Weights(file=common.INITIAL['dada']['imagenet'])
_COCO = Weights(file=common.INITIAL['corda']['coco'])
_VGG = Weights(file=common.INITIAL['gio_ada']['imagenet'])


def _cityscapes(m16, m13=None):
  figures = {'mIoU16': m16} | ({} if m13 is None else {'mIoU13': m13})
  return {_S2C: figures}


def _dada(label, **figures):
  return Row(
    label=label,
    config='dada.py',
    arguments=f'ablation={label}',
    paper={_S2C: figures},
  )


def _fraction(percent, published):
  return Row(
    label=f'{percent} %',
    config='dada.py',
    arguments=f'fraction={percent / 100}',
    paper={_S2C: {'mIoU16': published}},
  )


def _depdis(label, m16, m13=None, *, after=None):
  return Row(
    label=label,
    config='depdis.py',
    arguments=f'ablation={label}',
    module=_DEPDIS if after else _TRAIN,
    before=after and Before(row=after, field='self_training.adversarial'),
    paper=_cityscapes(m16, m13),
  )


def _corda(label, m16, m13=None):
  return Row(
    label=label,
    config='corda.py',
    arguments=f'ablation={label}',
    paper=_cityscapes(m16, m13),
  )


def _corda_full(label, *, arguments='', weights=None, gta=None, s2c=None):
  figures = {} if gta is None else {_GTA: {'mIoU19': gta}}
  return Row(
    label=label,
    config='corda.py',
    arguments=arguments,
    by_pair={_GTA: 'network=gta'},
    weights=weights,
    paper={**figures, **_cityscapes(*s2c)},
  )


def _gio_ada(label, *, kitti=None, s2c=None):
  return Row(
    label=label,
    config='gio_ada.py',
    arguments=f'ablation={label}',
    before=_CYCLEGAN if label == 'cg' else None,
    paper=_cityscapes(*s2c) if s2c else {_KITTI: {'mIoU10': kitti}},
  )


def _coarse7(label, config, *published, module=_TRAIN):
  figures = zip(_ALL_7, published, strict=True)
  return Row(
    label=label,
    config=config,
    module=module,
    paper={pair: {'mIoU7': value} for pair, value in figures},
  )


_SOURCE_ONLY = Row(
  label='source-only', config='source_only.py', paper=_cityscapes(32.2)
)
_ADVENT = Row(label='AdvEnt', config='advent.py', paper=_cityscapes(40.8, 47.6))
_DADA = Row(label='DADA', config='dada.py', paper=_cityscapes(42.6, 49.8))
_DACS = Row(
  label='DACS',
  config='dacs.py',
  paper={**_cityscapes(48.3, 54.8), _GTA: {'mIoU19': 52.1}},
)
_CYCLEGAN = Before(
  row=Row(label='cyclegan', config='cyclegan.py'), field='generator'
)
# Rows M3 and M4 are self-training that begins with it.
_M2 = _depdis('M2', 44.8)
_ICCV19 = 'DADA (Vu et al., ICCV 2019)'
_NEURIPS22 = 'Depth Distribution (Wu & Liu, NeurIPS 2022)'
_ICCV21 = 'CorDA (Wang et al., ICCV 2021)'
_CVPR19 = 'GIO-Ada (Chen et al., CVPR 2019)'

TABLES = {
  'dada/ablation': Table(
    what='what is aligned, depth loss, fusion: rows S1 to S7',
    paper=_ICCV19,
    pairs=(_S2C,),
    rows=(
      _dada('S1', mIoU16=32.2),
      _dada('S2', mIoU16=40.8),
      _dada('S3', mIoU16=40.7),
      _dada('S4', mIoU16=35.7),
      _dada('S5', mIoU16=38.0),
      _dada('S6', mIoU16=41.6),
      _dada('S7', mIoU16=42.6, mIoU13=49.8),
    ),
    weights=_IMAGENET,
    other_names=('dada/3',),
  ),
  'dada/fraction': Table(
    what='share of the source images',
    paper=_ICCV19,
    pairs=(_S2C,),
    rows=(
      _fraction(10, 32.6),
      _fraction(30, 35.1),
      _fraction(50, 40.9),
      _fraction(70, 41.0),
      _fraction(100, 42.6),
    ),
    weights=_IMAGENET,
  ),
  'dada/results': Table(
    what='DADA beside AdvEnt and no adaptation',
    paper=_ICCV19,
    pairs=(_S2C,),
    rows=(_SOURCE_ONLY, _ADVENT, _DADA),
    weights=_IMAGENET,
  ),
  'dada/coarse7': Table(
    what='7 classes, on Cityscapes and Mapillary, at full and low resolution',
    paper=_ICCV19,
    pairs=_ALL_7,
    rows=(_coarse7('DADA', 'dada.py', 70.4, 63.4, 67.6, 55.8),),
    weights=_IMAGENET,
    classes='coarse7',
  ),
  'depdis/ablation': Table(
    what='modules M1 to M4, and ways of alignment and balance S1 to S5',
    paper=_NEURIPS22,
    pairs=(_S2C,),
    rows=(
      _depdis('M1', 41.7),
      _M2,
      _depdis('M3', 47.6, after=_M2),
      _depdis('M4', 48.2, 55.5, after=_M2),
      _depdis('S1', 44.1),
      _depdis('S2', 43.4),
      _depdis('S3', 37.8),
      _depdis('S4', 43.7),
      _depdis('S5', 44.8),
    ),
    weights=_IMAGENET,
  ),
  'depdis/results': Table(
    what='Depth Distribution beside AdvEnt and DADA',
    paper=_NEURIPS22,
    pairs=(_S2C,),
    rows=(
      _ADVENT,
      _DADA,
      Row(
        label='Depth Distribution',
        config='depdis.py',
        module=_DEPDIS,
        paper=_cityscapes(48.2, 55.5),
      ),
    ),
    weights=_IMAGENET,
  ),
  'depdis/coarse7': Table(
    what='7 classes, on Cityscapes and Mapillary, at full and low resolution',
    paper=_NEURIPS22,
    pairs=_ALL_7,
    rows=(
      _coarse7(
        *('Depth Distribution', 'depdis.py', 72.6, 67.7, 70.4, 60.3),
        module=_DEPDIS,
      ),
    ),
    weights=_IMAGENET,
    classes='coarse7',
  ),
  'corda/ablation': Table(
    what='structure of the network, and the difficulty weight',
    paper=_ICCV21,
    pairs=(_S2C,),
    rows=(
      dataclasses.replace(_DACS, paper=_cityscapes(48.3, 54.8)),
      _corda('simple_aux', 49.6, 55.9),
      _corda('no_attention', 51.7),
      _corda('F', 54.2, 62.4),
      _corda('FD', 55.0, 62.8),
    ),
    weights=_COCO,
  ),
  'corda/results': Table(
    what='CorDA beside DACS; the paper has means of five runs',
    paper=_ICCV21,
    pairs=(_S2C, _GTA),
    rows=(_DACS, _corda_full('CorDA', s2c=(55.0, 62.8), gta=56.6)),
    weights=_COCO,
  ),
  'corda/depth': Table(
    what='depth of the target from stereo pairs, or from sequences',
    paper=_ICCV21,
    pairs=(_S2C,),
    rows=(
      _corda_full('stereo', arguments='depth=stereo', s2c=(55.0, 62.8)),
      _corda_full('mono', arguments='depth=mono', s2c=(54.5, 62.0)),
    ),
    weights=_COCO,
  ),
  'corda/init': Table(
    what='weights that training begins with',
    paper=_ICCV21,
    pairs=(_S2C, _GTA),
    rows=(
      _corda_full('COCO', s2c=(55.0, 62.8), gta=56.6),
      _corda_full(
        'ImageNet',
        weights=Weights(file=common.INITIAL['corda']['imagenet']),
        s2c=(54.6,),
        gta=56.4,
      ),
    ),
    weights=_COCO,
  ),
  'gio_ada/ablation': Table(
    what='input transform and output discriminators, 10 classes',
    paper=_CVPR19,
    pairs=(_KITTI,),
    rows=(
      _gio_ada('na', kitti=37.5),
      _gio_ada('cg', kitti=39.8),
      _gio_ada('gd', kitti=43.5),
      _gio_ada('d', kitti=44.2),
      _gio_ada('s', kitti=44.7),
      _gio_ada('sd', kitti=45.9),
      _gio_ada('ss', kitti=45.9),
      _gio_ada('depth', kitti=43.8),
      _gio_ada('sep', kitti=46.3),
      _gio_ada('joint', kitti=50.0),
      _gio_ada('full', kitti=53.5),
    ),
    weights=_VGG,
  ),
  'gio_ada/results': Table(
    what='no adaptation, input, output, both, on street scenes',
    paper=_CVPR19,
    pairs=(_S2C,),
    rows=(
      _gio_ada('na', s2c=(23.3, 26.5)),
      _gio_ada('sd', s2c=(33.8, 39.7)),
      _gio_ada('joint', s2c=(35.3, 40.6)),
      _gio_ada('full', s2c=(37.3, 43.0)),
    ),
    weights=_VGG,
  ),
}
