import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.records import units
from jaxuda.evaluate import counting
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import metrics
from jaxuda.evaluate import scores as scores_lib
from jaxuda.evaluate import views
from jaxuda.run import workdir as workdir_lib
from tests import tiny


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


def _state(method, config):
  return method.init(*workdir_lib.init_args(config, method))


def _run(**options):
  config, method = tiny.make_config(), tiny.Method()
  return evaluation.run(
    method, _state(method, config), config, step=3, **options
  )


def _expected_confusion():
  """Counts in NumPy, pixel by pixel, without batches."""
  config, method = tiny.make_config(), tiny.Method()
  state = _state(method, config)
  confusion = np.zeros((tiny.CLASSES, tiny.CLASSES), np.int64)
  for batch in tiny.eval_stream(config.data, classes='', batch_size=2):
    size = batch['label'].shape[1:]
    logits = method.predict(state, batch['image'], size=size)['logits']
    prediction = np.asarray(logits).argmax(-1)
    valid = batch['label'] < 255
    np.add.at(confusion, (batch['label'][valid], prediction[valid]), 1)
  return confusion


def test_counts_every_pixel_once_at_label_resolution():
  scores = _run()
  confusion = _expected_confusion()
  assert confusion.sum() == tiny.IMAGES * 16 * 32
  iou = 100 * metrics.iou_per_class(confusion)
  values = scores['figures']['IoU']['value']
  assert list(values) == list(labels.CLASS_SETS['coarse7'].names)
  np.testing.assert_allclose(list(values.values()), iou, atol=0.0051)
  assert scores['main'] == 'mIoU7'
  main = scores['figures']['mIoU7']['value']
  assert main == pytest.approx(iou.mean(), abs=0.0051)
  assert scores_lib.rank(scores, scores) == main
  assert list(scores['images']) == [f'image {i}' for i in range(tiny.IMAGES)]
  json.dumps(scores, allow_nan=False)


@pytest.mark.parametrize('batch_size', [1, 3, 5])
def test_batch_size_changes_no_score(batch_size, monkeypatch):
  # The same five images, however they are cut into batches.
  everything = list(
    tiny.eval_stream(
      tiny.make_config().data, classes='', batch_size=1, with_depth=True
    )
  )

  def stream(data_config, *, batch_size, **options):
    del data_config, options
    for start in range(0, tiny.IMAGES, batch_size):
      rows = everything[start : start + batch_size]
      batch = {
        k: np.concatenate([row[k] for row in rows])
        for k in rows[0]
        if k != 'name'
      }
      missing = batch_size - len(rows)
      batch = {
        k: np.pad(v, [(0, missing)] + [(0, 0)] * (v.ndim - 1))
        for k, v in batch.items()
      }
      batch['label'][len(rows) :] = 255
      yield {**batch, 'name': [row['name'][0] for row in rows]}

  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  config, method = tiny.make_config(), tiny.Method()
  state = _state(method, config)
  with tiny.one_device():
    one = evaluation.run(method, state, config, step=3)
  config.eval_batch_size = batch_size
  other = evaluation.run(method, state, config, step=3)
  for name, figure in one['figures'].items():
    value = other['figures'][name]['value']
    assert value == pytest.approx(figure['value'], rel=1e-5, nan_ok=True)
  assert one['images'] == other['images']


@pytest.mark.parametrize('learnt_from', ['source', 'target'])
def test_depth_that_is_not_in_metres_is_not_scored(monkeypatch, learnt_from):
  config = tiny.make_config()
  state = _state(tiny.Method(), config)
  needs = {'source': ('image',), 'target': ('image',)}
  needs[learnt_from] += ('depth',)
  monkeypatch.setattr(tiny.Method, 'needs', needs)
  asked = []

  def scores_depth(data_config, **options):
    asked.append(options)
    return False

  monkeypatch.setattr(units, 'scores_depth', scores_depth)
  figures = evaluation.run(tiny.Method(), state, config, step=3)['figures']
  assert asked == [{'learnt_from': learnt_from, 'split': 'val'}]
  assert 'IoU' in figures
  assert not any(name.startswith('depth') for name in figures)


def _make_rows():
  """Yields images whose labels have three sizes, with depth."""
  rng, sizes = np.random.default_rng(0), ((16, 32), (12, 20), (24, 16))
  for i in range(tiny.IMAGES):
    image, _ = tiny.make_images(rng, 1, (8, 16))
    label = rng.choice([*range(tiny.CLASSES), 255], sizes[i % 3])
    yield {
      'image': image[0],
      'label': label.astype(np.int32),
      'depth': rng.uniform(5, 50, label.shape).astype(np.float32),
      'depth_valid': label < 255,
      'name': f'image {i}',
    }


def _stream_rows(rows, batch_size):
  """Yields batches like `pipeline.eval_stream` with many sizes."""
  for start in range(0, tiny.IMAGES, batch_size):
    real = rows[start : start + batch_size]
    blank = {**real[-1], 'label': np.full_like(real[-1]['label'], 255)}
    blank['depth_valid'] = np.zeros_like(blank['depth_valid'])
    filled = real + [blank] * (batch_size - len(real))
    batch = {k: [x[k] for x in filled] for k in rows[0]}
    batch['image'] = np.stack(batch['image'])
    if len({x.shape for x in batch['label']}) == 1:
      fields = ('label', 'depth', 'depth_valid')
      batch |= {k: np.stack(batch[k]) for k in fields}
    yield {**batch, 'name': [x['name'] for x in real]}


def test_labels_of_many_sizes_compile_the_network_once(monkeypatch):
  rows = [*_make_rows()]

  def stream(data_config, *, batch_size, many_sizes, **options):
    del data_config, options
    assert many_sizes
    return _stream_rows(rows, batch_size)

  looks, real_predict = [], tiny.Method.predict

  def predict(self, state, image, *, size=None):
    looks.append(image.shape)
    return real_predict(self, state, image, size=size)

  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  monkeypatch.setattr(tiny.Method, 'predict', predict)
  config, method = tiny.make_config(eval_batch_size=1), tiny.Method()
  state = _state(method, config)
  jax.clear_caches()
  found = evaluation.run(method, state, config, step=3)
  # Once for what it predicts at all, once compiled: two images, on two devices.
  assert looks == [(1, 8, 16, 3), (2, 8, 16, 3)]
  # Of three sizes, image by image; and of the last two, which are alike.
  assert counting.count_batch._cache_size() == 4
  confusion = np.zeros((tiny.CLASSES, tiny.CLASSES), np.int64)
  for row in rows:
    size, valid = row['label'].shape, row['label'] < 255
    logits = method.predict(state, row['image'][None], size=size)['logits']
    prediction = np.asarray(logits)[0].argmax(-1)
    np.add.at(confusion, (row['label'][valid], prediction[valid]), 1)
  iou = 100 * metrics.iou_per_class(confusion)
  values = found['figures']['IoU']['value']
  np.testing.assert_allclose(list(values.values()), iou, atol=0.0051)
  assert found['figures']['IoU']['label_resolution'] == [
    *([12, 20], [16, 32], [24, 16])
  ]
  # All at once, one by one, and on one device.
  judged = []
  for count in (tiny.IMAGES, 1):
    config.eval_batch_size = count
    judged.append(evaluation.run(method, state, config, step=3, judge=True))
  with tiny.one_device():
    judged.append(evaluation.run(method, state, config, step=3, judge=True))
  for other in judged:
    assert other['images'] == found['images']
    for name, figure in judged[-1]['figures'].items():
      value = other['figures'][name]['value']
      assert value == pytest.approx(figure['value'], rel=1e-5, nan_ok=True)
    for name, figure in found['figures'].items():
      value = other['figures'][name]['value']
      assert value == pytest.approx(figure['value'], rel=1e-5, nan_ok=True)


def test_depth_errors_by_hand():
  figures = _run()['figures']
  # 20 m were predicted everywhere, 10 m are true everywhere.
  expected = {
    'depth_abs_rel': 1.0,
    'depth_sq_rel': 10.0,
    'depth_rms': 10.0,
    'depth_log_rms': np.log(2),
    'depth_delta1': 0.0,
    'depth_delta3': 0.0,
    'depth_pixels': tiny.IMAGES * 16 * 32,
  }
  for name, value in expected.items():
    assert figures[name]['value'] == pytest.approx(value, rel=1e-5), name
  assert figures['depth_rms']['unit'] == 'm'


def test_network_without_depth_has_no_depth_figures():
  config, method = tiny.make_config(), tiny.Method(depth=False)
  state = _state(method, config)
  scores = evaluation.run(method, state, config, step=3)
  assert not [name for name in scores['figures'] if name.startswith('depth')]


def test_nineteen_classes_are_scored_on_coarser_sets_too():
  config = tiny.make_config(classes='cityscapes19', num_classes=19)
  method = tiny.Method(num_classes=19)
  figures = evaluation.run(method, _state(method, config), config, step=3)[
    'figures'
  ]
  assert {'mIoU19', 'mIoU16', 'mIoU13', 'mIoU11', 'mIoU7'} <= set(figures)
  assert figures['mIoU16']['classes'] == 'cityscapes19'
  assert 'train' not in figures['mIoU16']['subset']
  assert figures['mIoU7']['classes'] == 'coarse7'
  assert len(figures['mIoU7']['subset']) == 7
  assert figures['mIoU11']['classes'] == 'camvid11'


def test_of_synthia_sixteen_classes_count():
  config = tiny.make_config(classes='cityscapes19', num_classes=19)
  method = tiny.Method(num_classes=19)
  state = _state(method, config)
  assert evaluation.run(method, state, config, step=3)['main'] == 'mIoU19'
  config.data.source.dataset = 'synthia'
  scores = evaluation.run(method, state, config, step=3)
  assert scores['main'] == 'mIoU16'
  assert scores['figures']['mIoU16']['classes'] == 'cityscapes19'


def test_bounds_say_so():
  class Oracle(tiny.Method):
    @property
    def needs(self):
      return {'source': ('image', 'label', 'depth'), 'target': ('label',)}

  config, method = tiny.make_config(), Oracle()
  state = _state(method, config)
  for folder, bound in (('', True), ('labels/of/a/teacher', False)):
    config.data.target.label_dir = folder
    figures = evaluation.run(method, state, config, step=3)['figures']
    for figure in figures.values():
      assert ('bound' in figure) == bound
  assert 'bound' not in _run()['figures']['mIoU7']


def test_merged_predictions_by_hand():
  """The network predicts the first of 19 classes, merged to 7: flat."""
  config = tiny.make_config(classes='cityscapes19', num_classes=19)
  method = tiny.Method(num_classes=19)
  state = _state(method, config)
  net = state.nets['task']
  kernel = np.zeros((3, 19), np.float32)
  params = {**net.params, 'kernel': kernel}
  state = state.replace(nets={'task': net.replace(params=params)})
  scores = evaluation.run(method, state, config, step=3, classes='coarse7')
  values = scores['figures']['IoU']['value']
  share = np.mean(
    [
      (batch['label'][: len(batch['name'])] == 0).mean() * len(batch['name'])
      for batch in tiny.eval_stream(config.data, classes='', batch_size=2)
    ]
  )
  share = share * 3 / tiny.IMAGES
  assert values['flat'] == pytest.approx(100 * share, abs=0.01)
  assert set(values.values()) == {values['flat'], 0.0}
  assert scores['figures']['mIoU7']['classes'] == 'coarse7'


def test_unknown_classes():
  with pytest.raises(errors.UserError, match="unknown class set 'nine'"):
    _run(classes='nine')


def test_stop_gives_up():
  assert _run(stop=lambda: True) is None


def test_command_fails_in_one_line():
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'jaxuda.evaluate', '--workdir=nowhere'),
      *('--data.target.manual_dir=kept', '--split=test'),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert 'nowhere/config.json is missing' in line


def test_several_views_by_hand():
  """The network sees single pixels: windows and mirrors change nothing."""
  config, method = tiny.make_config(), tiny.Method()
  state = _state(method, config)
  looked = views.Views(flip=True, window=True)
  result = evaluation.run(method, state, config, step=3, views=looked)
  confusion = np.zeros((tiny.CLASSES, tiny.CLASSES), np.int64)
  for batch in tiny.eval_stream(
    config.data, classes='', batch_size=1, whole_images=True
  ):
    assert batch['image'].shape[1:3] == batch['label'].shape[1:]
    logits = method.predict(state, batch['image'])['logits']
    valid = batch['label'] < 255
    prediction = np.asarray(logits).argmax(-1)
    np.add.at(confusion, (batch['label'][valid], prediction[valid]), 1)
  iou = 100 * metrics.iou_per_class(confusion)
  values = result['figures']['IoU']['value']
  np.testing.assert_allclose(list(values.values()), iou, atol=0.0051)
  assert result['figures']['mIoU7']['views'] == {
    'scales': (1.0,),
    'flip': True,
    'window': True,
    'overlap': pytest.approx(1 / 3),
  }
  assert not [name for name in result['figures'] if name.startswith('depth')]
  once = _run()
  assert 'views' not in once['figures']['mIoU7']
  assert result['images'].keys() == once['images'].keys()


@pytest.mark.parametrize('store', ['png', 'jpeg'])
def test_views_of_images_that_were_stored_small(store):
  config, method = tiny.make_config(), tiny.Method()
  state = _state(method, config)
  config.data.target.store = store
  message = f'config.data.target.store={store!r} keeps .*; expected raw'
  for looked in (views.Views(window=True), views.Views(scales=(1, 1.25))):
    with pytest.raises(errors.UserError, match=message):
      evaluation.run(method, state, config, step=3, views=looked)
  # These need no more than the network's input.
  looked = views.Views(scales=(0.5, 1), flip=True)
  assert evaluation.run(method, state, config, step=3, views=looked)


def test_folders_of_this_machine():
  config = tiny.make_config()
  evaluation.set_folders(config)
  assert config == tiny.make_config()
  evaluation.set_folders(config, data_dir='a', manual_dir='b')
  assert (config.data.data_dir, config.data.target.manual_dir) == ('a', 'b')
  assert config.data.source.manual_dir is None
