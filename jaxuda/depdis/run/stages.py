"""Runs all stages of Depth Distribution in turn.

  mixtures       fitted to the source, stored next to the datasets (`fit`)
  adversarial    DIR/adversarial, a run of the method `depdis`; or another such
                 run, `config.self_training.adversarial`
  labels         DIR/round1/labels, pseudo-labels by the previous run (`pseudo`)
  self-training  DIR/round1/training, a run of `self_training` that starts from
                 the network of the previous run

The last two are repeated for every round. If the target has true labels,
DIR/pseudo_labels.csv gives the precision of each round's labels.
"""

import csv
import os
import pathlib

import ml_collections

from jaxuda import errors
from jaxuda.data.files import label_files
from jaxuda.depdis.pseudo import labelling
from jaxuda.depdis.pseudo import precision
from jaxuda.evaluate import scores
from jaxuda.run import cluster
from jaxuda.run import config_fields
from jaxuda.run import workdir as workdir_lib
from jaxuda.train import segmentation
from jaxuda.ui import display
from jaxuda.ui import files


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> bool:
  """Runs the stages that are not done yet.

  If killed at any point, it resumes at the same stage when called again.

  Args:
    config: a config from configs/depdis.py.
    workdir: the folder of all stages.

  Returns:
    Whether all stages are done; False after SIGTERM or Ctrl-C.

  Raises:
    UserError: the config has a mistake, or a folder belongs to another config.
  """
  if config.name != 'depdis':
    raise errors.UserError(
      f'config.name={config.name!r}; expected depdis, as in --config=depdis'
    )
  options = labelling.read_options(config)
  workdir = pathlib.Path(workdir)
  first = pathlib.Path(options.adversarial or workdir / 'adversarial')
  with cluster.first_process_first():
    if cluster.is_first():
      if options.adversarial:
        _check_stage(first, config)
      _claim(workdir, config)
  # `_check_stage` has checked that an external run is done.
  if not _train(config, first):
    return False
  done, summaries = {'adversarial': first}, {}
  before = first
  for number in range(1, options.rounds + 1):
    folder = workdir / f'round{number}'
    summary = _label(config, before, folder / 'labels', options)
    summaries[f'round{number}'] = summary
    if cluster.is_first():
      _write_table(workdir / 'pseudo_labels.csv', summaries)
    later = derive(config, options, initial=before, label_dir=folder / 'labels')
    if not _train(later, folder / 'training'):
      return False
    done[f'round{number}/training'] = before = folder / 'training'
  if cluster.is_first():
    _show(done, summaries)
  return True


def _show(done, summaries):
  """Prints the results of the stages."""
  rows = [
    (name, *(_figure(folder, which) for which in ('last', 'best')))
    for name, folder in done.items()
  ]
  display.print_table(
    'mIoU in %', ('stage', 'last checkpoint', 'best checkpoint'), rows
  )
  precision.show(summaries)


def derive(
  config: ml_collections.ConfigDict,
  options: labelling.Options,
  *,
  initial: str | os.PathLike,
  label_dir: str | os.PathLike,
) -> ml_collections.ConfigDict:
  """Returns the config of a self-training stage.

  Args:
    config: the config of the adversarial stage.
    options: its checked `config.self_training`.
    initial: folder of the run whose network the stage starts from.
    label_dir: folder of the stage's pseudo-labels.
  """
  tree = workdir_lib.config_to_dict(config)
  method = tree['method']
  sums = method.get('sums', 'batch')
  tree |= {
    'name': 'self_training',
    'method': {
      'depth': method['lambda_depth'] > 0,
      'density': method['lambda_balance'] > 0,
      'fuse': False,
      # Stages of older runs do not name the default.
      **({} if sums == 'batch' else {'sums': sums}),
    },
    'mixtures_file': method['mixtures'],
    'total_steps': options.total_steps,
    'stop_step': options.stop_step,
    'initial': str(initial),
    'initial_checkpoint': options.checkpoint,
  }
  if options.learning_rate:
    tree['optim']['learning_rate'] = options.learning_rate
  if options.norm:
    tree['network']['norm'] = options.norm
  tree['data']['target'] |= {
    'label_dir': str(label_dir),
    'fraction': options.share,
    'first': options.first,
  }
  return workdir_lib.config_from_dict(tree)


def _claim(workdir, config):
  """Checks that the folder belongs to this config, or claims it."""
  files.check_folder(workdir)
  new = workdir_lib.config_to_dict(config)
  path = workdir / 'config.json'
  if path.is_file():
    old = workdir_lib.config_to_dict(workdir_lib.read_config(workdir))
    config_fields.check_config(_strict(old), _strict(new), workdir=str(workdir))
  workdir_lib.write_json(path, new)


def _strict(tree):
  """Returns a config for comparison on a restart, without the rounds.

  All else must be equal, including the number of steps: later stages start from
  the results of earlier ones.
  """
  training = {**tree['self_training'], 'rounds': None}
  # A run would accept another `stop_step`.
  steps = {'steps_of_the_adversarial_stage': tree['stop_step']}
  return {**tree, **steps, 'self_training': training}


def _check_stage(folder, config):
  """Checks that a run is equivalent to the adversarial stage."""
  where = f'self_training.adversarial={folder}'
  if not (folder / 'config.json').is_file():
    raise errors.UserError(f'{where} has no config.json; expected a run')
  configs = workdir_lib.read_config(folder), config
  old, new = map(workdir_lib.config_to_dict, configs)
  # The first stage does not depend on this part.
  old['self_training'] = new['self_training']
  try:
    config_fields.check_config(old, new, workdir=str(folder))
  except errors.UserError as e:
    raise errors.UserError(f'{where}: {e}') from e
  steps = config.stop_step
  if old['stop_step'] != steps or not workdir_lib.is_done(folder, steps):
    raise errors.UserError(
      f'{where} is not finished; expected a run of {steps} steps with its'
      ' scores'
    )


def _is_done(config, folder):
  """Returns whether a stage is done; refuses one scored on another split."""
  # The first process decides for all: files may reach others later.
  done = workdir_lib.is_done(folder, config.stop_step)
  last = workdir_lib.read_scores(folder).get('last', {})
  done, last = cluster.gather([done, last])[0]
  if done:
    asked = config.data.target.eval_split
    scores.check_split(last, asked, workdir=folder)
  return done


def _train(config, folder):
  """Trains a stage; returns False if a signal stopped it."""
  if _is_done(config, folder):
    return True
  _announce(folder)
  segmentation.train(config, folder)
  # Not the steps: a signal during the last evaluation leaves all of them.
  return _is_done(config, folder)


def _label(config, before, out, options):
  """Labels the target if this is not done yet; returns the summary."""
  path = out / label_files.SUMMARY
  found = [path.is_file(), workdir_lib.read_json(path)]
  done, summary = cluster.gather(found)[0]
  if done:
    return summary
  _announce(out)
  loaded = workdir_lib.load(before, which=options.checkpoint)
  config_fields.move_data(loaded.config, config)
  summary = labelling.write_labels(loaded, out, options)
  if cluster.is_first():
    labelling.show(summary)
  return summary


def _announce(folder):
  if cluster.is_first():
    print(f'stage {folder}', flush=True)


def _write_table(path, summaries):
  """Writes a line per round and class, if there are true labels."""
  fields = ('kept', 'labelled', 'precision', 'recall')
  known = {k: x for k, x in summaries.items() if 'precision' in x}
  if not known:
    return
  with files.atomic(path) as part, part.open('w', newline='') as f:
    out = csv.writer(f, lineterminator='\n')
    out.writerow(('round', 'class', *fields))
    for name, summary in known.items():
      for label, x in summary['per_class'].items():
        out.writerow((name, label, *(x[k] for k in fields)))


def _figure(workdir, which):
  """Returns the main score of a run's checkpoint as text."""
  result = workdir_lib.read_scores(workdir).get(which)
  value = result['figures'][result['main']]['value'] if result else None
  return '-' if value is None else f'{value:.2f}'
