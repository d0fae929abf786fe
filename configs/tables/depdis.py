"""Tables 1 to 5 and figures 2 to 4 of Depth Distribution, and its sensitivity.

The figures of CTRL are those that the paper quotes; CTRL's README has 44.9, and
72.3, 71.8 and 61.9 over 7 classes.
"""

from configs.tables import spec

_PAPER = 'Depth Distribution (Wu & Liu, NeurIPS 2022)'
_THE_PAPER = 'the paper'
_ALL_7 = (spec.S2C, spec.S2C_LOW, spec.S2M, spec.S2M_LOW)
_DEPTH_ERRORS = (
  *('depth_abs_rel', 'depth_sq_rel', 'depth_rms', 'depth_log_rms'),
  *('depth_delta1', 'depth_delta2', 'depth_delta3'),
)


def _row(label, m16=None, m13=None, *, after=None, depth=None):
  figures = spec.means16(m16, m13)
  figures |= dict(zip(_DEPTH_ERRORS, depth or (), strict=bool(depth)))
  return spec.Row(
    label=label,
    config='depdis.py',
    arguments=f'ablation={label}',
    module=spec.DEPDIS if after else spec.TRAIN,
    before=after and spec.Before(row=after, field='self_training.adversarial'),
    # Depth of the validation images, which training does not read.
    pair_overrides=(
      {spec.S2C: ('--config.data.target.dataset=cityscapes/disparity',)}
      if depth
      else {}
    ),
    paper={spec.S2C: figures} if figures else {},
  )


def _figures7(*means):
  return {
    pair: {'mIoU7': mean}
    for pair, mean in zip(_ALL_7, means, strict=True)
    if mean is not None
  }


def _weights(label, density, depth):
  return spec.Row(
    label=label,
    config='depdis.py',
    arguments='ablation=M2',
    overrides=(
      f'--config.method.lambda_balance={density}',
      f'--config.method.lambda_depth={depth}',
    ),
  )


# Rows M3 and M4 are self-training that starts from it.
_M2 = _row('M2', 44.8)
_MODULES = (
  _row('M1', 41.7),
  _M2,
  _row('M3', 47.6, after=_M2),
  _row('M4', 48.2, 55.5, after=_M2),
)
_CHOICES = (
  _row('S1', 44.1),
  _row('S2', 43.4),
  _row('S3', 37.8),
  _row('S4', 43.7),
  _row('S5', 44.8),
)

TABLES = {
  'depdis/results': spec.Table(
    what='Depth Distribution against AdvEnt, DADA and CTRL, 16 classes',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      spec.ADVENT,
      spec.DADA,
      spec.quote('CTRL', _THE_PAPER, **spec.cityscapes(45.5)),
      spec.Row(
        label='Depth Distribution',
        config='depdis.py',
        module=spec.DEPDIS,
        paper=spec.cityscapes(48.2, 55.5),
      ),
    ),
    other_names=('depdis/1',),
    shows=('IoU',),
  ),
  'depdis/coarse7': spec.Table(
    what='7 classes, on Cityscapes and Vistas, at full and low resolution',
    paper=_PAPER,
    pairs=_ALL_7,
    # DADA is scored in another way on Vistas: dada/coarse7 trains it.
    rows=(
      spec.quote('DADA', "DADA's paper", **_figures7(70.4, 63.4, 67.6, 55.8)),
      spec.quote('CTRL', _THE_PAPER, **_figures7(71.4, None, 69.2, 62.5)),
      spec.Row(
        label='Depth Distribution',
        config='depdis.py',
        module=spec.DEPDIS,
        paper=_figures7(72.6, 67.7, 70.4, 60.3),
      ),
    ),
    classes='coarse7',
    other_names=('depdis/2',),
    shows=('IoU',),
  ),
  'depdis/ablation': spec.Table(
    what='rows M1 to M4 and S1 to S5: depdis/modules and depdis/choices in one',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(*_MODULES, *_CHOICES),
  ),
  'depdis/modules': spec.Table(
    what='modules: density branch, self-training, spatial prior',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=_MODULES,
    other_names=('depdis/3',),
  ),
  'depdis/choices': spec.Table(
    what='the map that density is regressed on, and what is aligned',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=_CHOICES,
    other_names=('depdis/4',),
  ),
  'depdis/depth': spec.Table(
    what='errors of the depth branch, without and with the density branch',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      _row('M1', depth=(0.7, 13.7, 20.7, 0.9, 0.21, 0.40, 0.56)),
      _row('M2', depth=(0.5, 9.0, 18.3, 0.7, 0.26, 0.48, 0.66)),
    ),
    other_names=('depdis/5',),
    shows=('depth',),
  ),
  'depdis/sensitivity': spec.Table(
    what='weights of the density and depth losses; no figures are known',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(
      _weights('density 1e-2 and depth 0.5e-2', 0.01, 0.005),
      _weights('both 1e-1', 0.1, 0.1),
      _weights('both 1e-3', 0.001, 0.001),
    ),
  ),
  'depdis/density': spec.Table(
    what='density next to segmentation and depth, in the pictures of the run',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(_M2,),
    other_names=('depdis/figure2', 'depdis/figure3'),
    baselines={},
    commands=('jaxuda report {M2} --out={out}/report.html',),
  ),
  'depdis/tsne': spec.Table(
    what='joint spaces of depth and of density with segmentation, by t-SNE',
    paper=_PAPER,
    pairs=(spec.S2C,),
    rows=(_row('S4', 43.7), _M2),
    other_names=('depdis/figure4',),
    baselines={},
    commands=(
      'jaxuda depdis tsne --workdirs={S4} --space=seg_depth --checkpoint=last'
      ' --out={out}/depth.png',
      'jaxuda depdis tsne --workdirs={M2} --space=seg_density --checkpoint=last'
      ' --out={out}/density.png',
    ),
  ),
}
