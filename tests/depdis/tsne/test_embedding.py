import itertools

import jax
import numpy as np
import pytest
from scipy import special

from jaxuda import errors
from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.depdis.tsne import embedding
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command

ROAD, SKY, CAR = 0, 10, 13


@pytest.fixture
def run(config):
  method = methods.create(config)
  state = jax.jit(method.init)(*workdir_lib.init_args(config, method))
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


def test_pixels_are_the_same_for_every_space_and_evenly_of_every_class(run):
  options = dict(images=4, pixels=6, seed=1)
  features, classes = embedding.collect(run, space='features', **options)
  output, again = embedding.collect(run, space='output', **options)
  np.testing.assert_array_equal(classes, again)
  ids, counts = np.unique(classes, return_counts=True)
  assert set(ids) <= {ROAD, SKY, CAR}
  assert dict(zip(ids, counts, strict=True))[SKY] == 6
  assert counts.max() == 6
  # The tiny backbone's last stage, and probabilities.
  assert features.shape == (len(classes), 16)
  assert output.shape == (len(classes), 19)
  np.testing.assert_allclose(output.sum(1), 1, rtol=1e-5)


def test_joint_spaces_are_self_information_times_depth_or_density(run):
  options = dict(images=3, pixels=5, seed=1)
  task, net = run.method.task, run.state.nets['task']
  expected = {'depth': [], 'density': []}
  shown = pipeline.eval_stream(
    run.config.data, classes=run.config.classes, batch_size=1
  )
  for batch in itertools.islice(shown, 3):
    out, _ = deeplab.run(
      task, net.params, net.batch_stats, batch['image'], train=False
    )
    p = special.softmax(np.asarray(out['logits'], np.float64)[0], -1)
    for part, vectors in expected.items():
      scaled = (
        special.entr(p) / np.log(19) * np.asarray(out[part])[0, ..., None]
      )
      vectors.extend(scaled.reshape(-1, 19))
  for part, vectors in expected.items():
    found, classes = embedding.collect(run, space=f'seg_{part}', **options)
    assert found.shape == (len(classes), 19)
    # Each is that of a pixel.
    apart = np.abs(found[:, None] - np.asarray(vectors)[None]).max(-1).min(-1)
    assert apart.max() < 1e-4 * np.abs(vectors).max()
    assert np.ptp(found) > 0


def test_a_network_without_depth_has_no_such_space(config):
  config = config.copy_and_resolve_references()
  config.method.update(align='seg', lambda_balance=0.0)
  config.method.lambda_balance_target = 0.0
  method = methods.create(config)
  state = jax.jit(method.init)(*workdir_lib.init_args(config, method))
  run = workdir_lib.Run(config=config, method=method, state=state, step=0)
  with pytest.raises(errors.UserError, match='network predicts no density'):
    embedding.collect(run, space='seg_density', images=1, pixels=2)


def test_clusters_stay_apart():
  rng = np.random.default_rng(0)
  classes = np.repeat([0, 1], 20)
  near = rng.normal(size=(40, 60))
  far = near + 30 * classes[:, None]
  assert embedding.separation(far, classes) > 0.8
  assert embedding.separation(near, classes) < 0.1
  assert np.isnan(embedding.separation(near, np.zeros(40)))
  flat = embedding.embed(far)
  assert flat.shape == (40, 2)
  assert embedding.separation(flat, classes) > 0.5
  np.testing.assert_array_equal(flat, embedding.embed(far))
  with pytest.raises(errors.UserError, match='only 9 labelled pixels'):
    embedding.embed(far[:9])
  colors = labels.get_class_set('cityscapes19').colors
  drawn = embedding.draw(flat, classes, colors)
  for c in (0, 1):
    assert (drawn == colors[c]).all(-1).sum() > 20


def test_two_runs_side_by_side(run, monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(workdir_lib, 'load', lambda name, **_: run)
  out = tmp_path / 'x.png'
  options = dict(spaces=['output'], images=7, pixels=20, split=None, seed=0)
  embedding.run(['a', 'b'], out, which='last', **options)
  assert out.is_file()
  printed = capsys.readouterr().out
  assert 'a: ' in printed
  assert 'silhouette' in printed
  options['spaces'] = ['seg_depth', 'seg_density']
  embedding.run(['a'], out, which='last', **options)
  printed = capsys.readouterr().out
  assert 'a seg_depth: ' in printed
  assert 'a seg_density: ' in printed
  for spaces in ([], ['output', 'depth']):
    options['spaces'] = spaces
    with pytest.raises(errors.UserError, match='expected some of features'):
      embedding.run(['a'], out, which='last', **options)


@pytest.mark.parametrize(
  ('change', 'named'),
  [
    ({'classes': 'coarse7'}, 'cityscapes19, coarse7'),
    ({'data.target.dataset': 'camvid'}, 'targets camvid, real'),
  ],
)
def test_runs_that_cannot_be_compared_are_refused(
  run, monkeypatch, tmp_path, change, named
):
  other = workdir_lib.config_from_dict(workdir_lib.config_to_dict(run.config))
  other.update_from_flattened_dict(change)
  runs = {
    'a': run,
    'b': workdir_lib.Run(
      config=other, method=run.method, state=run.state, step=0
    ),
  }
  monkeypatch.setattr(workdir_lib, 'load', lambda name, **_: runs[name])
  with pytest.raises(errors.UserError, match=named):
    embedding.run(
      ['a', 'b'], tmp_path / 'x.png', which='last', spaces=['output']
    )


def test_mistakes_are_named_before_any_network_is_read(tmp_path):
  config = command.read_config('cyclegan:pair=streets')
  tree = workdir_lib.config_to_dict(config)
  workdir_lib.write_json(tmp_path / 'run' / 'config.json', tree)
  run, out = str(tmp_path / 'run'), tmp_path / 'tsne.png'
  options = {'which': 'last', 'spaces': ['features']}
  for workdirs, path, message in (
    ([], out, '--workdirs is empty; expected folders of runs'),
    ([run], tmp_path, 'is a folder; expected a file to write'),
    ([run], out, 'is a run of cyclegan, which labels no pixels'),
  ):
    with pytest.raises(errors.UserError, match=message):
      embedding.run(workdirs, path, **options)
