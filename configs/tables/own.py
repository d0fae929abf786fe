"""All methods side by side: a table of this project, of no paper.

On real targets they begin with ImageNet's weights and from a broad source; one
more row is source-only from the narrow one. All have equal steps there: four
fifths of Depth Distribution's are adversarial. On `streets` its self-training
comes on top of `total_steps`. CorDA and Depth-MIC read depth of the target,
which real targets lack: make it first, and give all rows
`-- --config.data.target.depth_dir=FOLDER`.
"""

from configs.tables import spec

_REAL = ('streets2camvid', 'streets2idd')
# Two rounds of self-training among the pairs' 400 steps.
_DEPDIS_STEPS = (
  '--config.total_steps=320',
  '--config.stop_step=320',
  '--config.self_training.total_steps=320',
  '--config.self_training.stop_step=40',
)
_NARROW = {
  'streets2camvid': 'streets/source_180x240',
  'streets2idd': 'streets/source_176x248',
}

TABLES = {
  'all/methods': spec.Table(
    what='all methods and the oracle, on rendered streets and real images',
    paper='this project',
    pairs=(*_REAL, 'streets'),
    rows=(
      spec.Row(
        label='source-only of streets/source',
        config='source_only.py',
        pair_overrides={
          pair: (f'--config.data.source.dataset={dataset}',)
          for pair, dataset in _NARROW.items()
        },
        fixed=('--config.method.statistics=source',),
        pairs=_REAL,
      ),
      spec.Row(label='AdvEnt', config='advent.py'),
      spec.Row(label='DADA', config='dada.py', without_depth='AdvEnt'),
      spec.Row(
        label='Depth Distribution',
        config='depdis.py',
        module=spec.DEPDIS,
        pair_overrides=dict.fromkeys(_REAL, _DEPDIS_STEPS),
      ),
      spec.Row(label='GIO-Ada', config='gio_ada.py'),
      spec.Row(label='DACS', config='dacs.py'),
      spec.Row(label='CorDA', config='corda.py', without_depth='DACS'),
      spec.Row(label='Depth-MIC', config='depth_mic.py'),
      spec.Row(
        label='oracle', config='source_only.py', arguments='train_on=target'
      ),
    ),
    shows=('IoU',),
  ),
}
