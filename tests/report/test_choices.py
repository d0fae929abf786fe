"""The choice without labels, for runs written by hand."""

import json
import pathlib

import pytest

from jaxuda.report import choices
from jaxuda.report import reporting
from jaxuda.report import runs
from tests.report import hand

# Step -> mean IoU, entropy, agreement of image and mirror image.
FIRST = {6: (30.0, 0.4, 0.7), 12: (50.0, 0.2, 0.6), 18: (40.0, 0.1, 0.8)}
SECOND = {6: (20.0, 0.5, None), 12: (10.0, 0.6, None), 18: (60.0, 0.3, None)}


def write(folder, evaluations, *, labelled=True, **more):
  """Writes a run with these evaluations and no other lines."""
  path = pathlib.Path(hand.write_run(folder, **more))
  lines = []
  for step, (score, entropy, flip) in evaluations.items():
    line = {'kind': 'eval', 'step': step, 'blind_entropy': entropy}
    if labelled:
      line['mIoU7'] = score
    if flip is not None:
      line['blind_flip'] = flip
    lines.append(json.dumps(line) + '\n')
  (path / 'metrics.jsonl').write_text(''.join(lines))
  if not labelled:
    scores = json.loads((path / 'scores.json').read_text())
    for kind in scores.values():
      figure = {**kind['figures']['mIoU7'], 'value': 0.25}
      kind.update(main='blind_choice')
      kind['figures'] = {'blind_choice': figure}
    (path / 'scores.json').write_text(json.dumps(scores))
  return str(path)


def describe(*folders):
  (group,) = runs.make_groups(runs.read(folders))
  return choices.describe_choices(group)


def test_choices_by_hand(tmp_path):
  found = describe(write(tmp_path / 'a', FIRST), write(tmp_path / 'b', SECOND))
  assert (found['score'], found['names']) == ('mIoU7', ['a', 'b'])
  cells = {
    row['name']: [
      cell and (cell['step'], cell['score'], cell['loss'])
      for cell in row['cells']
    ]
    for row in found['rows']
  }
  assert cells == {
    'mIoU7': [(12, 50, 0), (18, 60, 0)],
    'step': [(18, 40, -10), (18, 60, 0)],
    'blind_entropy': [(18, 40, -10), (18, 60, 0)],
    'blind_flip': [(18, 40, -10), None],
  }
  assert [row['name'] for row in found['rows']][:2] == ['mIoU7', 'step']
  # -10 and 0; the second run has no agreement.
  means = [row['mean'] for row in found['rows']]
  assert means == ['+0.00 (2)', '−5.00 (2)', '−5.00 (2)', '−10.00 (1)']


def test_ranks_by_hand(tmp_path):
  found = describe(write(tmp_path / 'a', FIRST), write(tmp_path / 'b', SECOND))
  entropy, flip = found['ranks']
  # In the order of the score: 10 20 30 40 50 60 have the entropies .6 .5 .4 .1
  # .2 .3, of which low is good: ranks 1 2 3 6 5 4, squared differences 4 + 4.
  assert entropy['all'] == pytest.approx(1 - 6 * 8 / (6 * 35))
  assert entropy['all_count'] == 6
  # Of the first run 30 40 50 have .4 .1 .2, of the second 10 20 60 .6 .5 .3.
  assert entropy['within'] == pytest.approx((0.5 + 1) / 2)
  assert entropy['within_count'] == 2
  # 40 and 60 end with .1 and .3.
  assert (entropy['last'], entropy['last_count']) == (pytest.approx(-1), 2)
  # 30 40 50 have .7 .8 .6.
  assert (flip['all'], flip['all_count']) == (pytest.approx(-0.5), 3)
  assert (flip['last'], flip['last_count']) == (None, 1)
  assert found['shown'][1][1:] == ['−0.50 (3)', '−0.50 (1)', '– (1)']


def test_the_page_shows_choices_and_ranks(tmp_path):
  folders = [write(tmp_path / 'a', FIRST), write(tmp_path / 'b', SECOND)]
  content = reporting.collect(folders, predict=False)
  page = hand.Page(reporting.render(content))
  rows = [[text for text, _ in row] for row in page.table(choice='1')]
  assert rows[1] == [
    'with labels: the highest mIoU7',
    '50.00 step 12',
    '60.00 step 18',
    '+0.00 (2)',
  ]
  entropy = ['entropy', '40.00 −10.00 step 18', '60.00 step 18', '−5.00 (2)']
  assert rows[3] == entropy
  assert rows[4][2:] == ['–', '−10.00 (1)']
  ranks = [[text for text, _ in row] for row in page.table(ranks='1')]
  assert ranks[1] == ['entropy', '+0.77 (6)', '+0.75 (2)', '−1.00 (2)']


def test_without_labels_there_are_choices_and_no_scores(tmp_path):
  folder = write(tmp_path / 'a', FIRST, labelled=False)
  content = reporting.collect([folder])
  (group,) = content['groups']
  assert (group['scores'], group['look']) == ([], None)
  assert content['notes'] == [
    'a has no scores: val of its target has no labels.'
  ]
  assert group['choices']['ranks'] == []
  page = hand.Page(reporting.render(content))
  rows = [[text for text, _ in row] for row in page.table(choice='1')]
  assert rows[1:] == [
    ['the last', 'step 18'],
    ['entropy', '0.1000 step 18'],
    ['agreement of image and mirror image', '0.8000 step 18'],
  ]


def test_runs_of_before_have_no_choice(tmp_path):
  assert describe(hand.write_run(tmp_path / 'a')) is None
