import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.evaluate import metrics
from jaxuda.evaluate import scores

PROTOCOL = {'checkpoint_step': 9, 'split': 'val'}


def _make(confusion, *, classes='coarse7', absent=()):
  depth = dict.fromkeys(('abs_rel', 'sq_rel', 'rms', 'log_rms'), 400.0)
  depth.update(pixels=4, delta1=1, delta2=2, delta3=4)
  return scores.make_scores(
    confusion,
    classes,
    images={'a': 50.0},
    depth=depth,
    protocol=PROTOCOL,
    absent=absent,
  )


def test_figures_by_hand():
  confusion = np.zeros((7, 8), np.int64)
  # flat: 6 right, 2 predicted as sky; sky: 4 right, 1 as no class.
  confusion[0, 0], confusion[0, 4] = 6, 2
  confusion[4, 4], confusion[4, 7] = 4, 1
  result = _make(confusion)
  figures = result['figures']
  assert figures['IoU']['value'] == {
    **dict.fromkeys(
      ('construction', 'object', 'nature', 'human', 'vehicle'), None
    ),
    'flat': 75.0,
    'sky': 57.14,
  }
  assert result['main'] == 'mIoU7'
  assert scores.rank(result, result) == 66.07
  assert figures['mIoU7']['unit'] == '%'
  assert figures['depth_rms']['value'] == 10.0
  assert figures['depth_rms']['unit'] == 'm'
  assert figures['depth_delta2']['value'] == 0.5
  for figure in figures.values():
    assert figure['checkpoint_step'] == 9
    assert figure['split'] == 'val'
    assert figure['classes'] == 'coarse7'


def test_coarser_means_by_hand():
  confusion = np.zeros((19, 19), np.int64)
  # Road and sidewalk are confused, which does not matter to 'flat'.
  confusion[0, 1] = confusion[1, 0] = 5
  confusion[10, 10] = 5
  figures = _make(confusion, classes='cityscapes19')['figures']
  assert figures['mIoU19']['value'] == 33.33
  assert figures['mIoU7']['value'] == 100.0
  assert figures['mIoU7']['classes'] == 'coarse7'
  assert figures['mIoU11']['value'] == 33.33


def test_sixteen_of_nineteen_classes_by_hand():
  """The official means of DACS and CorDA on SYNTHIA, from 19 outputs."""
  names = labels.get_class_set('cityscapes19').names
  confusion = np.diag(np.full(19, 100))
  for true, said, pixels in (
    ('road', 'terrain', 25),
    ('terrain', 'road', 20),
    ('terrain', 'vegetation', 80),
    ('truck', 'car', 100),
    ('bus', 'train', 10),
    ('train', 'bus', 100),
  ):
    true, said = names.index(true), names.index(said)
    confusion[true, said] += pixels
    confusion[true, true] -= pixels
  result = _make(
    confusion, classes='cityscapes19', absent=labels.absent('synthia')
  )
  values = {k: x['value'] for k, x in result['figures'].items()}
  for name, value in {
    'road': 62.5,  # 75 / (100 + 20): what is said to be terrain is missing,
    'vegetation': 55.56,  # 100 / (100 + 80), true terrain is a false positive.
    'car': 50.0,
    'bus': 45.0,  # 90 / (100 + 100).
    **dict.fromkeys(('terrain', 'truck', 'train'), 0.0),
  }.items():
    assert values['IoU'][name] == value
  # 12 classes at 1, or 9 without wall, fence and pole; the official code
  # multiplies the mean over 19 by 19 / 16.
  four = 0.625 + 100 / 180 + 0.5 + 0.45
  assert values['mIoU16'] == round(100 * (12 + four) / 16, 2) == 88.32
  assert values['mIoU13'] == round(100 * (9 + four) / 13, 2) == 85.62
  assert values['mIoU19'] * 19 / 16 == pytest.approx(88.32, abs=0.01)
  # Means over classes that could be learned come first.
  assert result['main'] == 'mIoU16'
  assert [*result['figures']][:3] == ['mIoU16', 'mIoU13', 'mIoU19']
  assert _make(confusion, classes='cityscapes19')['main'] == 'mIoU19'
  # 16 classes in which terrain, truck and train are ignored: 75 % of the road,
  # 90 % of the buses.
  mapping = labels.merge_map('cityscapes19', 'synthia16')[:19]
  merged = metrics.merge_confusion(confusion, mapping, num_classes=16)
  other = _make(merged, classes='synthia16')['figures']['mIoU16']['value']
  assert other == round(100 * (14 + 0.75 + 0.9) / 16, 2) == 97.81


def test_nothing_scored():
  result = _make(np.zeros((7, 7), np.int64))
  assert result['figures']['mIoU7']['value'] is None
  assert scores.rank(result, result) == -1


def test_earlier_scores_are_ranked_by_the_newest_main_figure():
  confusion = np.diag([3, 2, 0, 0, 0, 0, 0])
  labelled = _make(confusion)
  bare = {'main': 'blind_choice', 'figures': {'blind_choice': {'value': 0.25}}}
  # The figure that an earlier version chose by is greater, but different.
  old = {'main': 'blind_information', 'figures': {}}
  old['figures']['blind_information'] = {'value': 0.9}
  assert scores.rank(old, old) == 0.9
  assert scores.rank(old, bare) is None
  assert scores.rank(bare, labelled) is None
  assert scores.rank(labelled, labelled) == 100
  # The labels are gone now; the criterion was measured along with them.
  labelled['figures'] |= bare['figures']
  assert scores.rank(labelled, bare) == 0.25


@pytest.mark.parametrize('field', ['split', 'images', 'label_resolution'])
def test_scores_of_other_images_do_not_rank(field):
  result = _make(np.diag([3, 2, 0, 0, 0, 0, 0]))
  other = _make(np.diag([3, 2, 0, 0, 0, 0, 0]))
  result['figures']['mIoU7'][field], other['figures']['mIoU7'][field] = 'a', 'b'
  assert scores.rank(result, result) == 100
  assert scores.rank(other, result) is None


def test_percent():
  assert scores.percent(0.12344) == 12.34
  assert scores.percent(1.0) == 100.0
  assert scores.percent(float('nan')) is None


def test_negative_transfer_by_hand():
  def make(*values):
    images = {f'image {i}': v for i, v in enumerate(values)}
    figures = {'mIoU7': {'value': 1.0, 'split': 'val'}}
    return {
      'main': 'mIoU7',
      'figures': figures,
      'images': images,
      'checkpoint_step': 9,
    }

  ours = make(10.0, 20.0, 30.0, None, 50.0)
  theirs = make(11.0, 20.0, 29.0, 40.0, 60.0)
  figure = scores.negative_transfer(ours, theirs, against='other')
  assert figure['value'] == 50.0
  assert figure['against'] == 'other'
  assert figure['against_checkpoint_step'] == 9
  assert figure['split'] == 'val'
  with pytest.raises(errors.UserError, match='scored on other images'):
    scores.negative_transfer(ours, make(1.0), against='other')


@pytest.mark.parametrize(
  ('changes', 'data'),
  [
    ({'classes': 'coarse7'}, {}),
    ({'split': 'test'}, {}),
    ({'label_resolution': [512, 1024]}, {}),
    ({}, {'manual_dir': '/b'}),
  ],
)
def test_images_of_the_same_names_are_the_same_images(changes, data):
  def make(changes, data):
    figure = {'classes': 'cityscapes19', 'split': 'val', 'value': 9, **changes}
    return {
      'main': 'mIoU',
      'figures': {'mIoU': figure},
      'images': {'0': 50.0},
      'checkpoint_step': 9,
      'data': {'manual_dir': '/a', **data},
    }

  ours, theirs = make({}, {}), make(changes, data)
  (what,) = {**changes, **data}
  with pytest.raises(errors.UserError, match=f'other was scored with {what}='):
    scores.negative_transfer(ours, theirs, against='other')
  for same in (make({}, {}), make({}, {'manual_dir': None})):
    figure = scores.negative_transfer(ours, same, against='other')
    assert figure['value'] == 0


def test_table_has_all_runs(capsys):
  ours = _make(np.diag([3, 1, 0, 0, 0, 0, 0]))
  scores.print_scores('a title', {'ours': ours, 'theirs': ours})
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == 'a title'
  rows = [[x.strip() for x in line.split('│')[1:4]] for line in lines]
  assert [r for r in rows if r and r[0] == 'depth_rms'] == [
    ['depth_rms', '10.00', '10.00']
  ]
  assert ['mIoU7', '100.00', '100.00'] in rows
  assert ['sky', '-', '-'] in rows
