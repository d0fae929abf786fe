"""Tables of CorDA, of which 2 and 3 are known by number, and pictures.

The paper reports means of five runs. The other methods' figures are those that
its official README quotes.
"""

import dataclasses

from configs.tables import spec

_PAPER = 'CorDA (Wang et al., ICCV 2021)'
_README = 'the official README'

_DACS = spec.Row(
  label='DACS',
  config='dacs.py',
  paper={**spec.cityscapes(48.3, 54.8), spec.GTA: {'mIoU19': 52.1}},
)


def _ablation(label, m16, m13=None):
  return spec.Row(
    label=label,
    config='corda.py',
    arguments=f'ablation={label}',
    paper=spec.cityscapes(m16, m13),
  )


def _full(label, s2c, gta=None, *, arguments='', init=''):
  figures = {} if gta is None else {spec.GTA: {'mIoU19': gta}}
  return spec.Row(
    label=label,
    config='corda.py',
    arguments=arguments,
    by_pair={
      spec.S2C: init,
      spec.GTA: ','.join(filter(None, ('network=gta', init))),
    },
    paper={**figures, **spec.cityscapes(*s2c)},
  )


_CORDA = _full('CorDA', (55.0, 62.8), 56.6)
_RESULTS = spec.Table(
  what='CorDA against DACS, DADA and others, SYNTHIA to Cityscapes',
  paper=_PAPER,
  pairs=(spec.S2C, spec.GTA),
  rows=(
    _DACS,
    spec.quote('CBST', _README, **spec.cityscapes(42.6, 48.9)),
    spec.quote('FDA', _README, **spec.cityscapes(None, 52.5)),
    spec.quote('DADA', _README, **spec.cityscapes(42.6, 49.8)),
    _CORDA,
  ),
  other_names=('corda/2',),
  shows=('IoU',),
)

TABLES = {
  'corda/results': _RESULTS,
  'corda/gta': dataclasses.replace(
    _RESULTS,
    what='CorDA against DACS, GTA5 to Cityscapes',
    pairs=(spec.GTA,),
    rows=(_DACS, _CORDA),
    other_names=('corda/3',),
  ),
  'corda/ablation': spec.Table(
    what='network structure, and the difficulty weight',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      dataclasses.replace(_DACS, paper=spec.cityscapes(48.3, 54.8)),
      _ablation('simple_aux', 49.6, 55.9),
      _ablation('no_attention', 51.7),
      _ablation('F', 54.2, 62.4),
      _ablation('FD', 55.0, 62.8),
    ),
  ),
  'corda/depth': spec.Table(
    what='target depth from stereo pairs or from sequences',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      _full('stereo', (55.0, 62.8), arguments='depth=stereo'),
      _full('mono', (54.5, 62.0), arguments='depth=mono'),
    ),
  ),
  'corda/init': spec.Table(
    what='initial weights',
    paper=_PAPER,
    pairs=(spec.S2C, spec.GTA),
    rows=(
      _full('COCO', (55.0, 62.8), 56.6),
      _full('ImageNet', (54.6,), 56.4, init='init=imagenet'),
    ),
  ),
  'corda/pictures': spec.Table(
    what='label maps of DACS and of CorDA, side by side',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(_DACS, _CORDA),
    baselines={},
    commands=('jaxuda report {DACS} {CorDA} --out={out}/report.html',),
  ),
}
