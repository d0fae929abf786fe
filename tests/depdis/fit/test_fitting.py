import dataclasses
import types

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.pixels import resizing
from jaxuda.depdis.fit import fitting
from jaxuda.methods.parts import mixtures
from jaxuda.ops import density
from jaxuda.ops import depth
from jaxuda.train import segmentation
from jaxuda.ui import command
from tests.depdis import conftest

OPTIONS = fitting.Options(components=2, least=10)
ROAD, SKY, CAR = 0, 10, 13


def draw(count=4000):
  """Draws two clusters, a third of the points in the first."""
  rng = np.random.default_rng(0)
  first = np.arange(count) < count // 3
  mean = np.where(first[:, None], [10, 20, 65], [100, 60, 400])
  sigma = np.where(first[:, None], [2, 3, 5], [9, 8, 30])
  return mean + sigma * rng.normal(size=(count, 3))


@pytest.mark.parametrize('covariance', ['diag', 'full'])
def test_clusters_are_found(covariance):
  options = dataclasses.replace(OPTIONS, covariance=covariance)
  points = draw()
  weights, means, covariances, info = fitting.fit_class(points, options)
  order = np.argsort(weights)
  np.testing.assert_allclose(weights[order], [1 / 3, 2 / 3], atol=0.02)
  np.testing.assert_allclose(
    means[order], [[10, 20, 65], [100, 60, 400]], rtol=0.03
  )
  variances = covariances
  if covariance == 'full':
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
  np.testing.assert_allclose(
    variances[order], [[4, 9, 25], [81, 64, 900]], rtol=0.1
  )
  assert info['converged']
  assert info['samples'] == 4000
  # The mixtures used in training have the recorded likelihood.
  table = density.tabulate(weights[None], means[None], covariances[None])
  log_p = density.log_density(
    table, points.astype(np.float32), np.zeros(4000, int)
  )
  np.testing.assert_allclose(log_p.mean(), info['log_likelihood'], rtol=1e-5)


def test_a_class_at_one_depth_has_the_smallest_variance():
  points = draw()
  points[:, 2] = 1.0
  _, means, covariances, _ = fitting.fit_class(points, OPTIONS)
  np.testing.assert_allclose(covariances[:, 2], 1e-6, rtol=1e-3)
  np.testing.assert_allclose(means[:, 2], 1)


def test_too_few_pixels_give_no_mixture():
  for covariance in ('diag', 'full'):
    options = dataclasses.replace(OPTIONS, covariance=covariance)
    weights, means, covariances, info = fitting.fit_class(draw(9), options)
    assert not weights.any()
    assert info == {'samples': 9}
    table = density.tabulate(weights[None], means[None], covariances[None])
    assert np.isfinite(table.offset).all()


def test_a_file_is_fitted_once_and_again_when_it_must(
  config, monkeypatch, tmp_path
):
  config.mixtures.folder = str(tmp_path)
  method = methods.create(config)
  ready = segmentation.prepare(method, config)
  path = fitting.find_or_fit(config)
  assert ready.mixtures == str(path)
  assert path.parent == tmp_path
  assert {x.suffix for x in tmp_path.iterdir()} == {'.npz', '.png'}
  m = ready.read_mixtures()
  assert m.grid == (5, 7)
  assert m.info['images'] == 7
  assert m.counts.sum() == 7 * 5 * 7
  # Three classes occur; the others have density 0 and weight 0.
  assert set(np.flatnonzero(m.counts)) == {ROAD, SKY, CAR}
  assert set(np.flatnonzero(m.weights.any(1))) <= {ROAD, SKY, CAR}
  # The sky is far and above, the road nearer and below.
  sky = m.weights[SKY] @ m.means[SKY]
  road = m.weights[ROAD] @ m.means[ROAD]
  assert sky[1] < 2 < road[1]
  np.testing.assert_allclose(sky[2], depth.invert_depth(655.35), rtol=1e-4)
  assert road[2] > 10

  def forbidden(*args, **kwargs):
    raise AssertionError('fitted again')

  monkeypatch.setattr(fitting, 'fit', forbidden)
  assert fitting.find_or_fit(config) == path
  # Only settings that the numbers depend on make a difference.
  config.method.lambda_adv = 9.0
  assert fitting.find_or_fit(config) == path
  config.mixtures.components = 3
  with pytest.raises(AssertionError, match='fitted again'):
    fitting.find_or_fit(config)
  config.mixtures.components = 2
  # Nor does the network, unless its grid differs.
  config.network.backbone = 'efficientnet_tiny'
  assert fitting.find_or_fit(config) == path
  stride, config.network.output_stride = config.network.output_stride, 16
  with pytest.raises(AssertionError, match='fitted again'):
    fitting.find_or_fit(config)
  config.network.output_stride = stride
  with config.unlocked():
    config.data.source.scale_range = (1.0, 1.0)
    assert fitting.find_or_fit(config) == path
    config.data.source.scale_range = (1.0, 1.5)
  with pytest.raises(AssertionError, match='fitted again'):
    fitting.find_or_fit(config)
  given = dataclasses.replace(method, mixtures=str(path))
  assert segmentation.prepare(given, config) is given


def test_rare_classes_count_as_often_as_they_are(config, tmp_path):
  """Every image is read once, whatever training draws."""
  expected = np.zeros(19, np.int64)
  for i in range(7):
    example = conftest.create_example(i)
    label = cv2.imdecode(np.frombuffer(example['label'], 'u1'), -1)
    small = resizing.resize_label(label, conftest.GRID)
    expected += np.bincount(small.ravel(), minlength=19)
  config.classes, config.num_classes = 'cityscapes19', 19
  config.mixtures.folder = str(tmp_path / 'plain')
  plain = fitting.find_or_fit(config)
  config.data.source.update(
    rare_temperature=0.01, rare_pixels=0, rare_crop=1.0, crop_most=0.75
  )
  config.mixtures.folder = str(tmp_path / 'rare')
  rare = fitting.find_or_fit(config)
  for path in (plain, rare):
    np.testing.assert_array_equal(mixtures.read(path).counts, expected)
  # Nor are they fitted again.
  assert plain.name == rare.name


def test_the_same_numbers_every_time(config, tmp_path):
  config.mixtures.folder = str(tmp_path)
  first = mixtures.read(fitting.find_or_fit(config))
  config.mixtures.folder = str(tmp_path / 'again')
  second = mixtures.read(fitting.find_or_fit(config))
  np.testing.assert_array_equal(first.means, second.means)
  assert first.info == second.info
  fitting.show(fitting.find_or_fit(config))


def test_other_methods_need_no_preparation(config):
  config.name = 'dada'
  method = types.SimpleNamespace(preparation='')
  assert segmentation.prepare(method, config) is method


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'covariance': 'tied'}, 'expected one of diag, full'),
    ({'components': 0}, 'mixtures.components=0'),
    ({'least': 1}, 'mixtures.least=1; expected at least 5'),
    ({'floor': 0.0}, 'above 0'),
  ],
)
def test_bad_options_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    fitting.Options(**fields)


def test_an_unknown_option_is_named(config):
  with config.unlocked():
    config.mixtures.componets = 4
  with pytest.raises(errors.UserError, match=r'unknown field mixtures\.comp'):
    fitting.read_options(config)


def test_mixtures_of_other_classes(tmp_path):
  (tmp_path / 'own.yaml').write_text('classes: [wall, door]')
  config = types.SimpleNamespace(classes=str(tmp_path / 'own.yaml'))
  info = {}
  method = types.SimpleNamespace(
    needs_mixtures=True,
    class_weights=(),
    grid='scaled',
    mixtures='a.npz',
    read_mixtures=lambda: types.SimpleNamespace(info=info),
  )
  assert fitting.prepare(method, config) is method
  info['classes'] = ['door', 'wall']
  with pytest.raises(errors.UserError, match=r'of door, wall; expected wall'):
    fitting.prepare(method, config)


def test_mixtures_on_another_grid_are_refused(config, tmp_path):
  """Their positions would be compared with those of other pixels."""
  config.mixtures.folder = str(tmp_path)
  config.data.target.size = (41, 49)
  prepare = lambda: fitting.prepare(methods.create(config), config)
  with pytest.raises(
    errors.UserError,
    match=r'^the source has mixtures on a grid of \(5, 7\); expected \(6, 7\)'
    r', .*\(41, 49\) pixels of config\.data\.target, or .*grid=scaled',
  ):
    prepare()
  assert not list(tmp_path.iterdir())  # Known before they are fitted.
  config.method.grid = 'scaled'
  path = prepare().mixtures
  config.method.update(grid='index', mixtures=path)
  # Only what the losses use counts.
  config.method.lambda_balance_target = 0.0
  assert prepare().mixtures == path
  config.data.source.size = (41, 49)
  with pytest.raises(
    errors.UserError, match=r'npz has .* config\.data\.source'
  ):
    prepare()


def test_class_weights_that_are_left_out_are_refused(config):
  config.name, config.num_classes = 'depdis', 19
  config.method.update(class_weights=(1.0,) * 19, balance_classes=False)
  with pytest.raises(
    errors.UserError, match='balance_classes=False leaves out'
  ):
    fitting.prepare(methods.create(config), config)
  # As the message says.
  config = command.read_config(
    'depdis:pair=synthia2cityscapes', ['--config.method.class_weights=()']
  )
  assert methods.create(config).class_weights == ()
