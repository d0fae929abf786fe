r"""Scores of a checkpoint, at label resolution, every pixel once.

    jaxuda evaluate --workdir=DIR [--checkpoint=last|best|STEP] \
        [--against=OTHER_DIR] [--split=val] [--classes=coarse7] [--out=FILE] \
        [--flip] [--scales=0.75,1,1.25] [--window]
    jaxuda evaluate --weights=FILE --config=dada:... \
        [--network=student|teacher|NAME] [--family=dacs] \
        [--config.field=value ...]

The second scores a published checkpoint (or the folder of a conversion) as the
config of its method prepares images and labels; see configs/published.py.

--flip, --scales and --window average what several views of a picture give, see
`views`; the papers' figures are without. With --distributed several processes
share the images: docs/clusters.md.
"""

import pathlib

from absl import flags

from jaxuda.evaluate import evaluation
from jaxuda.evaluate import scores
from jaxuda.evaluate import tables
from jaxuda.evaluate import views as views_lib
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.weights import runs


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  with cluster.joined(given.distributed, switch='--distributed'):
    _main(given)


def _main(given):
  command.hide_accelerators()
  weights, against = given.weights, given.against
  # Before a network is loaded.
  views = views_lib.Views(
    scales=given.scales, flip=given.flip, window=given.window
  )
  run = runs.load(
    workdir=given.workdir,
    which=given.checkpoint,
    weights=weights,
    network=given.network,
    family=given.family,
    config=given.config,
  )
  ours = _evaluate(run, given, views)
  if weights:
    for figure in ours['figures'].values():
      figure['weights'] = pathlib.Path(weights).name
  shown = {given.workdir or weights: ours}
  if against:
    run = runs.load(workdir=against, which=given.checkpoint)
    theirs = _evaluate(run, given, views)
    figure = scores.negative_transfer(ours, theirs, against=against)
    ours['figures']['negative_transfer_rate'] = figure
    shown[f'against: {against}'] = theirs
  if not cluster.is_first():
    return
  protocol = ours['figures'][ours['main']]
  network = protocol.get('weights') or f'step {ours["checkpoint_step"]}'
  scores.print_scores(
    f'IoU in %, {tables.describe_protocol(protocol)}, {network}', shown
  )
  out = given.out or (
    f'{weights.rstrip("/")}.evaluation.json'
    if weights
    else pathlib.Path(given.workdir) / 'evaluation.json'
  )
  workdir_lib.write_json(out, ours)
  print(f'wrote {out}')


def _evaluate(run, given, views):
  evaluation.set_folders(
    run.config, data_dir=given.data_dir, manual_dir=given.manual_dir
  )
  return evaluation.run(
    run.method,
    run.state,
    run.config,
    step=run.step,
    split=given.split,
    classes=given.classes,
    views=views,
  )


def _define_flags():
  command.define_config('With --weights: METHOD:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published file, or a conversion.')
  command.define_network()
  command.define_checkpoint()
  flags.DEFINE_string(
    'against', None, 'Folder of another run, for the negative-transfer rate.'
  )
  flags.DEFINE_string('split', None, "The config's eval_split if unset.")
  flags.DEFINE_string(
    'classes', None, 'Class set to merge to, a name or a class table.'
  )
  flags.DEFINE_string(
    'out', None, 'JSON to write; evaluation.json beside it if unset.'
  )
  command.define_views()
  command.define_data()
  flags.DEFINE_bool(
    'distributed', False, 'One of several processes: docs/clusters.md.'
  )
  command.define_cluster()


if __name__ == '__main__':
  _define_flags()
  command.run(main)
