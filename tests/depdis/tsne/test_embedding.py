import dataclasses

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import labels
from jaxuda.depdis.tsne import embedding
from jaxuda.run import workdir as workdir_lib

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


def test_joint_spaces_are_self_information_times_a_branch(run):
  options = dict(images=4, pixels=6, seed=1)
  net = run.state.nets['task']
  out = run.method.task.apply(
    {'params': net.params, 'batch_stats': net.batch_stats},
    np.zeros((1, 33, 49, 3), np.float32),
    train=False,
  )
  p = np.asarray(jax.nn.softmax(out['logits'], -1), np.float64)
  information = -p * np.log2(p) / np.log2(19)
  image = np.zeros((1, 33, 49, 3), np.float32)
  for space in ('depth', 'density'):
    maps = embedding._features(
      run.state, image, task=run.method.task, space=space
    )
    expected = information * np.asarray(out[space])[..., None]
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-6)
    vectors, classes = embedding.collect(run, space=space, **options)
    assert vectors.shape == (len(classes), 19)


def test_a_space_of_a_branch_that_is_not_there_is_refused(run):
  task = dataclasses.replace(run.method.task, depth=False)
  image = np.zeros((1, 33, 49, 3), np.float32)
  with pytest.raises(errors.UserError, match='--space=depth: the network'):
    embedding._features(run.state, image, task=task, space='depth')


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
  monkeypatch.setattr(workdir_lib, 'load', lambda name, which: run)
  out = tmp_path / 'x.png'
  options = dict(space='output', images=7, pixels=20, split=None, seed=0)
  embedding.run(['a', 'b'], out, which='last', **options)
  assert out.is_file()
  printed = capsys.readouterr().out
  assert 'a: ' in printed
  assert 'silhouette' in printed


def test_runs_of_other_classes_are_refused(run, monkeypatch, tmp_path):
  other = workdir_lib.config_from_dict(workdir_lib.config_to_dict(run.config))
  other.classes = 'coarse7'
  runs = {
    'a': run,
    'b': workdir_lib.Run(
      config=other, method=run.method, state=run.state, step=0
    ),
  }
  monkeypatch.setattr(workdir_lib, 'load', lambda name, which: runs[name])
  with pytest.raises(errors.UserError, match='cityscapes19, coarse7'):
    embedding.run(['a', 'b'], tmp_path / 'x.png', which='last')
