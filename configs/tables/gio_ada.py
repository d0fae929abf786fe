"""Tables 1 to 4 of GIO-Ada, and figure 4.

Tables 1 and 4 have a row for each class; which of the other two is 2 and which
is 3 follows the order of the paper's sections.
"""

from configs.tables import spec

_PAPER = 'GIO-Ada (Chen et al., CVPR 2019)'
_CLASSES = (
  *('road', 'building', 'pole', 'traffic light', 'traffic sign'),
  *('vegetation', 'terrain', 'sky', 'car', 'truck'),
)
_CYCLEGAN = spec.Before(
  row=spec.Row(label='cyclegan', config='cyclegan.py'), field='generator'
)


def _row(label, paper):
  return spec.Row(
    label=label,
    config='gio_ada.py',
    arguments=f'ablation={label}',
    before=_CYCLEGAN if label == 'cg' else None,
    paper=paper,
  )


def _kitti(label, mean, *classes):
  figures = {'mIoU10': mean}
  if classes:
    figures['IoU'] = dict(zip(_CLASSES, classes, strict=True))
  return _row(label, {spec.KITTI: figures})


_NA = _kitti(
  *('na', 37.5),
  *(79.3, 60.5, 0.0, 0.3, 9.5, 66.8, 8.3, 85.9, 59.2, 4.8),
)
_INPUT = (
  _kitti('cg', 39.8),
  _kitti('gd', 43.5),
  _kitti('d', 44.2),
  _kitti('s', 44.7),
  _kitti('sd', 45.9),
)
_OUTPUT = (
  _kitti('ss', 45.9),
  _kitti('depth', 43.8),
  _kitti('sep', 46.3),
  _kitti('joint', 50.0),
)
_FULL = _kitti(
  *('full', 53.5),
  *(81.4, 71.2, 11.3, 26.6, 23.6, 82.8, 56.5, 88.4, 80.1, 12.7),
)

TABLES = {
  'gio_ada/ablation': spec.Table(
    what='all rows on Virtual KITTI to KITTI, 10 classes',
    paper=_PAPER,
    pairs=(spec.KITTI,),
    rows=(_NA, *_INPUT, *_OUTPUT, _FULL),
  ),
  'gio_ada/kitti': spec.Table(
    what='no, input, output and full adaptation, Virtual KITTI to KITTI',
    paper=_PAPER,
    pairs=(spec.KITTI,),
    rows=(_NA, _kitti('sd', 45.9), _kitti('joint', 50.0), _FULL),
    other_names=('gio_ada/1',),
    shows=('IoU',),
  ),
  'gio_ada/input': spec.Table(
    what='the transform network: what it learns from, and what it sees',
    paper=_PAPER,
    pairs=(spec.KITTI,),
    rows=(_NA, *_INPUT),
    other_names=('gio_ada/2',),
  ),
  'gio_ada/output': spec.Table(
    what='the output discriminator: semantics, depth, one for each, joint',
    paper=_PAPER,
    pairs=(spec.KITTI,),
    rows=(_NA, *_OUTPUT),
    other_names=('gio_ada/3',),
  ),
  'gio_ada/results': spec.Table(
    what='no, input, output and full adaptation, SYNTHIA to Cityscapes',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      _row('na', spec.cityscapes(23.3, 26.5)),
      _row('sd', spec.cityscapes(33.8, 39.7)),
      _row('joint', spec.cityscapes(35.3, 40.6)),
      _row('full', spec.cityscapes(37.3, 43.0)),
    ),
    other_names=('gio_ada/4',),
    shows=('IoU',),
  ),
  'gio_ada/translations': spec.Table(
    what='source images translated by GIO-Ada and by CycleGAN',
    paper=_PAPER,
    pairs=(spec.KITTI,),
    rows=(_kitti('cg', 39.8), _FULL),
    other_names=('gio_ada/figure4',),
    baselines={},
    commands=(
      'jaxuda translate --workdir={cyclegan} --out={out}/cyclegan',
      'jaxuda translate --workdir={full} --out={out}/gio_ada',
    ),
  ),
}
