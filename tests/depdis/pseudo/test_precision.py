"""Precision of pseudo-labels, and that training does not use it."""

import dataclasses
import itertools
import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.depdis.pseudo import labelling
from jaxuda.depdis.pseudo import precision
from tests.depdis.pseudo import by_colour

SKY, ROAD, CAR = by_colour.SKY, by_colour.ROAD, by_colour.CAR
NAMES = labels.get_class_set('cityscapes19').names
OPTIONS = labelling.Options(spatial_prior=False)


def test_shares_of_a_small_matrix_by_hand():
  # 10 pixels of class 0: 6 right, 1 taken for 1, 3 without a label; 4 of class
  # 1: 2 taken for 0, 1 right, 1 without; none of class 2.
  counts = np.array([[6, 1, 0, 3], [2, 1, 0, 1], [0, 0, 0, 0]])
  assert precision.describe(counts) == {
    'labelled': 10 / 14,
    'precision': 7 / 10,
    'recall': 7 / 14,
    'per_class': [
      {'labelled': 7 / 10, 'precision': 6 / 8, 'recall': 6 / 10},
      {'labelled': 3 / 4, 'precision': 1 / 2, 'recall': 1 / 4},
      {'labelled': None, 'precision': None, 'recall': None},
    ],
  }


def write_wrong(out, generator):
  """Writes pseudo-labels that are wrong in places; returns them by number."""
  written = {}
  for i in range(7):
    given = by_colour.truth(i)
    noise = generator.random(given.shape)
    given[noise < 0.2] = 255
    given[noise > 0.8] = generator.choice([SKY, CAR, 5], (noise > 0.8).sum())
    written[i] = given
    cv2.imwrite(str(out / 'city' / f'{i}.png'), given)
  return written


def test_counts_are_those_of_the_pixels(config, tmp_path):
  (tmp_path / 'city').mkdir()
  written = write_wrong(tmp_path, np.random.default_rng(0))
  # As in the second round, whose run was trained on the labels of the first.
  with config.unlocked():
    config.data.target.label_dir = str(tmp_path)
  counts = precision.count(config, tmp_path)
  expected = np.zeros((19, 20), int)
  for i, given in written.items():
    for true, label in zip(
      by_colour.truth(i).ravel(), given.ravel(), strict=True
    ):
      expected[true, 19 if label == 255 else label] += 1
  np.testing.assert_array_equal(counts, expected)
  # Only the labelled images, the first ones by name.
  config.data.target.first = 2
  assert precision.count(config, tmp_path).sum() == 2 * 33 * 49


def test_summary_says_how_right_the_labels_are(config, tmp_path, capsys):
  """The network predicts road for half of the car's pixels."""

  class Wrong(by_colour.ByColour):
    def predict(self, state, image):
      logits = super().predict(state, image)['logits']
      odd = (np.arange(image.shape[2]) % 2 == 1).reshape(1, 1, -1, 1)
      car = logits.argmax(-1, keepdims=True) == CAR
      road = (jnp.arange(19) == ROAD).reshape(1, 1, 1, -1)
      return {'logits': logits + 1e5 * (odd & car & road)}

  run = by_colour.make_run(config)
  run = dataclasses.replace(run, method=Wrong(unsure=4))
  summary = labelling.write_labels(run, tmp_path / 'out', OPTIONS)
  right = {c: 0 for c in (SKY, ROAD, CAR)}
  seen, total, road = dict(right), dict(right), 0
  for i in range(7):
    given = cv2.imread(str(tmp_path / 'out' / 'city' / f'{i}.png'), -1)
    truth = by_colour.truth(i)
    assert (given[:, :4] == 255).all()
    road += (given == ROAD).sum()
    for c in right:
      total[c] += (truth == c).sum()
      seen[c] += ((truth == c) & (given < 255)).sum()
      right[c] += ((truth == c) & (given == c)).sum()
  for c in right:
    shares = summary['per_class'][NAMES[c]]
    assert shares['labelled'] == pytest.approx(seen[c] / total[c])
    assert shares['recall'] == pytest.approx(right[c] / total[c])
  assert summary['per_class']['road']['precision'] == right[ROAD] / road < 1
  assert summary['per_class']['car']['precision'] == 1
  assert summary['per_class']['wall']['precision'] is None
  everything = sum(right.values()) / sum(seen.values())
  assert summary['precision'] == pytest.approx(everything)
  assert json.loads((tmp_path / 'out' / 'summary.json').read_text()) == summary
  capsys.readouterr()
  labelling.show(summary)
  row = next(x for x in capsys.readouterr().out.splitlines() if ' all ' in x)
  assert f'{100 * everything:.1f}' in row


def test_labels_are_the_same_whatever_the_truth_is(
  config, tmp_path, monkeypatch
):
  run = by_colour.make_run(config, unsure=4)
  labelling.write_labels(run, tmp_path / 'a', OPTIONS)
  original = pipeline.image_stream

  def stream(data, *, fields=('image',), **more):
    images, total = original(data, fields=fields, **more)
    if 'label' not in fields:
      return images, total
    read.append(fields)
    return ({k: v for k, v in x.items() if k != 'label'} for x in images), total

  read = []
  monkeypatch.setattr(pipeline, 'image_stream', stream)
  summary = labelling.write_labels(run, tmp_path / 'b', OPTIONS)
  # Only the ground truth was requested, once, and there was none.
  assert read == [('label',)]
  assert 'precision' not in summary
  assert 'precision' not in summary['per_class']['road']
  labelling.show(summary)
  for i in range(7):
    one, other = (
      (tmp_path / x / 'city' / f'{i}.png').read_bytes() for x in 'ab'
    )
    assert one == other


def test_rounds_stand_side_by_side(capsys):
  shares = {'labelled': 0.25, 'precision': None}
  rounds = {
    f'round{i}': {
      **{'labelled': 0.5, 'precision': i / 10},
      'per_class': {
        'road': {'labelled': i / 100, 'precision': 1.0},
        'x': shares,
      },
    }
    for i in (1, 2)
  }
  precision.show({**rounds, 'round3': {}})
  lines = capsys.readouterr().out.splitlines()
  cells = [[x.strip() for x in line.split('│')][1:-1] for line in lines]
  assert ['road', '1.0', '100.0', '2.0', '100.0'] in cells
  assert ['x', '25.0', '-', '25.0', '-'] in cells
  assert ['all', '50.0', '10.0', '50.0', '20.0'] in cells
  heading = ' '.join(itertools.chain(*lines[:6]))
  assert 'round3' not in heading
  precision.show({'round1': {}})
  assert capsys.readouterr().out == ''
