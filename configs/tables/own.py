"""All methods side by side, and their source: tables from no paper.

On real targets they start from ImageNet weights and learn from a broad source;
one more row is source-only from the narrow one. All have the same number of
steps there: four fifths of Depth Distribution's are adversarial. On `streets`
its self-training is added to `total_steps`. CorDA and Depth-MIC read depth of
the target, which real targets lack: estimate it first, and give all rows
`-- --config.data.target.depth_dir=FOLDER`.

The other table varies the rendered source in one way at a time, alongside the
source as it is and varied in every way.
"""

import dataclasses

from configs.tables import spec

_REAL = ('streets2camvid', 'streets2idd')
# Two rounds of self-training within the pairs' 800 steps.
_DEPDIS_STEPS = (
  '--config.total_steps=640',
  '--config.stop_step=640',
  '--config.self_training.total_steps=640',
  '--config.self_training.stop_step=80',
)
_SIZES = {'streets2camvid': '180x240', 'streets2idd': '176x248'}
# What `streets/wide` varies, see `jaxuda/streets/domains/wide.py`.
_KINDS = (
  *('sky', 'light', 'foliage', 'surfaces'),
  *('camera', 'content', 'shadows', 'sensor'),
)


def _drawn(domain):
  """Flags that make a domain of rendered streets the source of real pairs."""
  return {
    pair: (f'--config.data.source.dataset=streets/{domain}_{size}',)
    for pair, size in _SIZES.items()
  }


def _at_target_statistics(label, domain):
  return dataclasses.replace(
    spec.TARGET_STATISTICS,
    label=label,
    pair_overrides=_drawn(domain),
    pairs=_REAL,
  )


TABLES = {
  'all/methods': spec.Table(
    what='all methods and the oracle, on rendered streets and real images',
    paper='this project',
    pairs=(*_REAL, 'streets'),
    rows=(
      spec.Row(
        label='source-only of streets/source',
        config='source_only.py',
        pair_overrides=_drawn('source'),
        fixed=('--config.method.statistics=source',),
        pairs=_REAL,
      ),
      spec.Row(label='AdvEnt', config='advent.py'),
      spec.Row(label='DADA', config='dada.py', without_depth='AdvEnt'),
      # Depth as a feature, and AdaBN: what the discriminator must improve on.
      spec.Row(
        label='DADA without alignment',
        config='dada.py',
        fixed=(
          '--config.method.align=none',
          '--config.method.statistics=target',
        ),
      ),
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
  'all/breadth': spec.Table(
    what='gain from each way of varying the rendered source, with AdaBN',
    paper='this project',
    pairs=_REAL,
    rows=(
      _at_target_statistics('streets/source', 'source'),
      *(_at_target_statistics(f'only {x}', f'wide-{x}') for x in _KINDS),
      _at_target_statistics('streets/wide', 'wide'),
    ),
    baselines={},
    shows=('IoU',),
  ),
}
