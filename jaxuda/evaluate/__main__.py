r"""Scores a checkpoint at label resolution, counting every pixel once.

    jaxuda evaluate --workdir=DIR [--checkpoint=last|best|STEP] \
        [--against=OTHER_DIR] [--split=val] [--classes=coarse7] [--out=FILE] \
        [--flip] [--scales=0.75,1,1.25] [--window] [--statistics=target] \
        [--data.target.manual_dir=FOLDER] [--data.target.dataset=NAME]
    jaxuda evaluate --weights=FILE --config=dada:... \
        [--network=student|teacher|NAME] [--family=dacs] \
        [--config.field=value ...]

The second form scores a published checkpoint (or the folder of a conversion),
with images and labels prepared as the config of its method says; see
configs/parts/published.py.

The scores are written to the run's folder as evaluation.json; those of a file
to FILE.evaluation.json, or FILE.NETWORK.evaluation.json if --network chooses
one of several. --split,
--data.target.dataset and --data.target.manual_dir score other data with the
classes of the run, such as a held-out test set; these scores go to a file of
their own, evaluation_<dataset>_<split>_<folder>.json, and name the data.
--data.target.fit and --data.target.eval_labels tell how to read them;
--data.target.store=raw reads images at their own size, for --window and scales
above 1, after a training with png or jpeg.

--statistics=target re-estimates the running statistics of the network's
normalisation layers on the target's training images before scoring (AdaBN, see
`norm_statistics`). Every figure says which statistics it was measured with;
those with the target's are in evaluation_target_statistics.json.

--flip, --scales and --window average the predictions for several views of an
image, see `views`; the papers' figures do without them. With --distributed,
several processes share the images: docs/clusters.md.
"""

import pathlib
import re

from absl import flags

from jaxuda.data import pipeline
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import norm_statistics
from jaxuda.evaluate import other_data
from jaxuda.evaluate import scores
from jaxuda.evaluate import tables
from jaxuda.evaluate import views as views_lib
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import files
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
  if given.out:
    files.check_file(given.out)
  elif given.workdir or weights:
    files.check_file(_name_file(given))
  views = views_lib.Views(
    scales=given.scales, flip=given.flip, window=given.window
  )
  run = runs.load(
    workdir=given.workdir,
    # With weights it is that of the run that they are compared with.
    which='last' if weights and against else given.checkpoint,
    weights=weights,
    network=given.network,
    family=given.family,
    config=given.config,
  )
  # Before an evaluation that would be lost.
  against_run = against and runs.load(workdir=against, which=given.checkpoint)
  ours, other = _evaluate(run, given, views)
  if weights:
    for figure in ours['figures'].values():
      figure['weights'] = pathlib.Path(weights).name
      figure['network'] = given.network or 'the only one of the file'
  shown = {given.workdir or weights: ours}
  out = given.out or _name_file(given)
  if other and not given.out:
    out = other_data.choose_file(out, ours)
  # Whatever becomes of the comparison and of what is printed.
  if cluster.is_first():
    workdir_lib.write_json(out, ours)
  if against:
    theirs, _ = _evaluate(against_run, given, views)
    figure = scores.negative_transfer(ours, theirs, against=against)
    ours['figures']['negative_transfer_rate'] = figure
    shown[f'against: {against}'] = theirs
    if cluster.is_first():
      workdir_lib.write_json(out, ours)
  if cluster.is_first():
    _show(shown, ours, given)
    print(f'wrote {out}')


def _show(shown, ours, given):
  """Prints the scores of all runs that were evaluated."""
  protocol = ours['figures'][ours['main']]
  network = protocol.get('weights') or f'step {ours["checkpoint_step"]}'
  if given.statistics == 'target':
    network += f', statistics of the {protocol["statistics"]}'
  scores.print_scores(
    f'IoU in %, {tables.describe_protocol(protocol)}, {network}', shown
  )


def _name_file(given):
  """Returns where scores on a run's own data are written without --out."""
  out = pathlib.Path(given.workdir or '', 'evaluation.json')
  if given.weights:
    name = given.weights.rstrip('/')
    if given.network:  # Others of the same file have files of their own.
      name += '.' + re.sub('[^A-Za-z0-9._]+', '-', given.network)
    out = pathlib.Path(f'{name}.evaluation.json')
  if given.statistics == 'target':
    out = out.with_name(f'{out.stem}_target_statistics{out.suffix}')
  return out


def _evaluate(run, given, views):
  """Returns the scores, and whether the data are other than the run's own."""
  evaluation.set_folders(
    run.config, data_dir=given.data_dir, manual_dir=given.manual_dir
  )
  own = other_data.describe(run.config)
  others = {x: given[f'data.target.{x}'].value for x in other_data.FIELDS}
  if others['dataset'] and not others['manual_dir']:
    others['manual_dir'] = given.manual_dir
  other_data.replace(run.config, others)
  if given.eval_batch_size:
    run.config.eval_batch_size = given.eval_batch_size
  evaluation.check_views(run.config, views)
  state, statistics = run.state, ''
  if given.statistics == 'target':
    # Checked before the training images are read.
    classes = given.classes or run.config.classes
    with cluster.first_process_first():
      pipeline.eval_size(run.config.data, classes=classes, split=given.split)
    state, statistics = norm_statistics.reestimate(
      run.method, state, run.config
    )
  result = evaluation.run(
    run.method,
    state,
    run.config,
    step=run.step,
    split=given.split,
    classes=given.classes,
    views=views,
    statistics=statistics,
  )
  data = other_data.describe(run.config, split=given.split)
  return {**result, 'data': data}, data != own


def _define_flags():
  command.define_config('Config for --weights: METHOD:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published checkpoint, or a conversion.')
  command.define_network()
  command.define_checkpoint()
  flags.DEFINE_string(
    'against', None, 'Folder of another run, for the negative-transfer rate.'
  )
  flags.DEFINE_string(
    'split', None, "Split to score; the config's eval_split if unset."
  )
  flags.DEFINE_string(
    'classes', None, 'Class set to merge to: a name or a class table.'
  )
  flags.DEFINE_string(
    *('out', None),
    'JSON file to write; RUN/evaluation.json or FILE.evaluation.json if unset.',
  )
  for field, text in other_data.FIELDS.items():
    flags.DEFINE_string(f'data.target.{field}', None, text)
  flags.DEFINE_integer(
    'eval_batch_size', None, 'Images per batch, at least one per device.', 1
  )
  flags.DEFINE_enum(
    *('statistics', 'own', norm_statistics.CHOICES),
    "Running statistics of the norms: the checkpoint's (own), or re-estimated"
    ' on the target (AdaBN).',
  )
  command.define_views()
  command.define_data()
  flags.DEFINE_bool(
    'distributed',
    False,
    'Run as one of several processes, see docs/clusters.md.',
  )
  command.define_cluster()


if __name__ == '__main__':
  _define_flags()
  command.run(main)
