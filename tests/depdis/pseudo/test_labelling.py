import dataclasses
import json
import types

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.files import label_files
from jaxuda.depdis.pseudo import __main__ as pseudo
from jaxuda.depdis.pseudo import labelling
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from tests import processes
from tests.depdis.pseudo import by_colour

OPTIONS = labelling.Options(base=1, range=0)


def read(folder, i):
  return cv2.imread(str(folder / 'city' / f'{i}.png'), cv2.IMREAD_UNCHANGED)


def test_confident_pixels_get_their_class(config, tmp_path):
  config.mixtures.folder = str(tmp_path / 'mixtures')
  summary = labelling.write_labels(
    by_colour.make_run(config, unsure=4), tmp_path / 'out', OPTIONS
  )
  for i in range(7):
    expected = by_colour.truth(i)
    expected[:, :4] = 255
    label = read(tmp_path / 'out', i)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected)
  # Where a folder can replace a dataset's labels.
  label_files.check(
    tmp_path / 'out', classes='cityscapes19', count=7, size=(33, 49)
  )
  assert summary['images'] == 7
  assert summary['pixels'] == 7 * 33 * 49
  kept = {k: v['kept'] for k, v in summary['per_class'].items() if v['kept']}
  counts = np.bincount(
    np.concatenate([read(tmp_path / 'out', i).ravel() for i in range(7)])
  )
  assert kept == {
    'road': counts[by_colour.ROAD],
    'sky': counts[by_colour.SKY],
    'car': counts[by_colour.CAR],
  }
  labelling.show(summary)


def test_small_patches_are_dropped(config, tmp_path):
  config.mixtures.folder = str(tmp_path / 'mixtures')
  # The car has the fewest counts of the classes that have any: its threshold
  # is near the base.
  options = dataclasses.replace(OPTIONS, base=55, range=10)
  out = tmp_path / 'out'
  summary = labelling.write_labels(by_colour.make_run(config), out, options)
  assert summary['per_class']['car']['confident'] == 7 * 54
  assert summary['per_class']['car']['kept'] == 0
  assert summary['per_class']['road']['threshold'] == 65
  assert not (read(out, 2) == by_colour.CAR).any()
  assert (read(out, 2) == 255).sum() == 54
  other = dataclasses.replace(options, spatial_prior=False)
  summary = labelling.write_labels(
    by_colour.make_run(config), tmp_path / 'plain', other
  )
  assert summary['per_class']['car']['kept'] == 7 * 54
  assert summary['per_class']['car']['threshold'] is None
  # Thresholds for 1280x760, scaled to 49x33.
  scaled = dataclasses.replace(options, scale_area=True, base=60 * 760 * 1280)
  out = tmp_path / 'scaled'
  summary = labelling.write_labels(by_colour.make_run(config), out, scaled)
  assert summary['per_class']['pole']['threshold'] == 60 * 33 * 49


def test_goes_on_where_it_was_killed(config, tmp_path, monkeypatch):
  options = dataclasses.replace(OPTIONS, spatial_prior=False)
  whole, out = tmp_path / 'whole', tmp_path / 'out'
  expected = labelling.write_labels(by_colour.make_run(config), whole, options)
  original, calls = labelling._write_label, []

  def killed(*args, **options):
    calls.append(1)
    if len(calls) == 4:
      raise KeyboardInterrupt
    return original(*args, **options)

  monkeypatch.setattr(labelling, '_write_label', killed)
  monkeypatch.setattr(labelling, '_THREADS', 1)
  with pytest.raises(KeyboardInterrupt):
    labelling.write_labels(by_colour.make_run(config), out, options)
  assert not (out / 'summary.json').exists()
  # One line is another process's, the last is cut, and one picture was lost.
  lines = (out / 'images.jsonl').read_text().splitlines()
  assert len(lines) == 3
  (out / 'images.jsonl').write_text(f'{lines[0]}\n{lines[2]}\n{{"name": "cit')
  (out / 'images.jsonl.1').write_text(f'{lines[1]}\n')
  (out / f'{json.loads(lines[0])["name"]}.png').unlink()
  calls.clear()
  monkeypatch.setattr(labelling, '_write_label', original)
  write = lambda *x, **options: calls.append(1) or original(*x, **options)
  monkeypatch.setattr(labelling, '_write_label', write)
  assert (
    labelling.write_labels(by_colour.make_run(config), out, options) == expected
  )
  # 1 lost and 4 missing.
  assert len(calls) == 5
  assert not (out / 'images.jsonl.1').exists()
  for i in range(7):
    np.testing.assert_array_equal(read(out, i), read(whole, i))


def test_processes_share_the_images(config, tmp_path, monkeypatch):
  config.mixtures.folder = str(tmp_path / 'mixtures')
  config.eval_batch_size = 2
  whole, out = tmp_path / 'whole', tmp_path / 'out'
  expected = labelling.write_labels(by_colour.make_run(config), whole, OPTIONS)
  label = lambda: labelling.write_labels(
    by_colour.make_run(config), out, OPTIONS
  )
  assert processes.run(label, monkeypatch) == [expected, expected]
  mine, theirs = (
    {json.loads(x)['name'] for x in (out / name).read_text().splitlines()}
    for name in ('images.jsonl', 'images.jsonl.1')
  )
  assert (len(mine), len(theirs), len(mine | theirs)) == (4, 3, 7)
  for i in range(7):
    np.testing.assert_array_equal(read(out, i), read(whole, i))
  # With one process there is nothing left to do, and a single log.
  never = lambda *unused, **options: pytest.fail('it was done')
  monkeypatch.setattr(labelling, '_write_label', never)
  assert label() == expected
  assert not (out / 'images.jsonl.1').exists()


def test_another_network_or_folder_is_refused(config, tmp_path):
  options = dataclasses.replace(OPTIONS, spatial_prior=False)
  out = tmp_path / 'out'
  labelling.write_labels(by_colour.make_run(config), out, options)
  more = dataclasses.replace(options, confidence=0.5)
  with pytest.raises(errors.UserError, match=r'confidence=0\.9; expected 0\.5'):
    labelling.write_labels(by_colour.make_run(config), out, more)
  run = by_colour.make_run(config)
  net = run.state.nets['task'].replace(params={'w': jnp.ones(2)})
  other = dataclasses.replace(run, state=run.state.replace(nets={'task': net}))
  with pytest.raises(errors.UserError, match='network='):
    labelling.write_labels(other, out, options)
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'thesis.txt').write_text('precious')
  with pytest.raises(errors.UserError, match='mine is not empty'):
    labelling.write_labels(run, tmp_path / 'mine', options)
  file = tmp_path / 'mine' / 'thesis.txt'
  with pytest.raises(errors.UserError, match='is a file'):
    labelling.write_labels(run, file, options)


def test_names_cannot_leave_the_folder(tmp_path):
  with pytest.raises(errors.UserError, match='leaves'):
    labelling._path(tmp_path, '../escaped')


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'rounds': -1}, 'rounds=-1'),
    ({'checkpoint': 'first'}, 'expected one of best, last'),
    ({'stop_step': 10, 'total_steps': 5}, 'stop_step=10'),
    ({'confidence': 1.5}, 'confidence'),
    ({'share': 0.0}, 'share=0; expected more than 0'),
    ({'share': 1.5}, r'share=1\.5; expected 0 to 1'),
    ({'learning_rate': -1e-4}, 'learning_rate'),
    ({'norm': 'instance'}, 'norm'),
    ({'first': -1}, 'first'),
  ],
)
def test_bad_options_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    labelling.Options(**fields)


def test_an_unknown_option_is_named(config):
  with config.unlocked():
    config.self_training.round = 4
  with pytest.raises(errors.UserError, match=r'self_training\.round;'):
    labelling.read_options(config)


def test_a_run_that_labels_no_pixels_is_named(tmp_path):
  config = command.read_config('cyclegan:pair=streets')
  tree = workdir_lib.config_to_dict(config)
  workdir_lib.write_json(tmp_path / 'run' / 'config.json', tree)
  given = types.SimpleNamespace(workdir=tmp_path / 'run', checkpoint='last')
  with pytest.raises(errors.UserError, match='a run of cyclegan, which labels'):
    pseudo._main(given)


class Flags(dict):
  """The values of the command's flags; those not given are None."""

  __getattr__ = dict.get

  def __missing__(self, name):
    return types.SimpleNamespace(value=None)


def test_the_command_labels_data_that_moved(config, tmp_path, monkeypatch):
  run = by_colour.make_run(config)
  seen = []

  def write_labels(run, out, options):
    del out, options
    seen.append((run.config.data.data_dir, run.config.data.target.manual_dir))

  monkeypatch.setattr(workdir_lib, 'load', lambda *_, **unused: run)
  monkeypatch.setattr(labelling, 'write_labels', write_labels)
  monkeypatch.setattr(labelling, 'show', lambda summary: None)
  pseudo._main(Flags(out=tmp_path, data_dir='tfds', manual_dir='moved'))
  assert seen == [('tfds', 'moved')]
