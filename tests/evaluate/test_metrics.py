import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxuda.evaluate import metrics


def _labels(shape, *, num_classes, seed=0):
  rng = np.random.default_rng(seed)
  label = rng.integers(0, num_classes, shape)
  prediction = np.where(
    rng.random(shape) < 0.5, label, rng.integers(0, num_classes, shape)
  )
  label[rng.random(shape) < 0.1] = 255
  return label.astype(np.int32), prediction.astype(np.int32)


def _count(label, prediction, num_classes):
  """Counts by the definition, pixel by pixel."""
  matrix = np.zeros((num_classes, num_classes), np.int64)
  for t, p in zip(label.ravel(), prediction.ravel(), strict=True):
    if 0 <= t < num_classes and 0 <= p < num_classes:
      matrix[t, p] += 1
  return matrix


class TestConfusionMatrix:
  def test_hand(self):
    label = jnp.array([[0, 0, 1], [1, 255, 2]])
    prediction = jnp.array([[0, 1, 1], [1, 0, 0]])
    matrix = metrics.confusion_matrix(label, prediction, num_classes=3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 2, 0], [1, 0, 0]])
    assert matrix.dtype == jnp.int32

  def test_against_loop_and_sklearn(self):
    label, prediction = _labels((2, 13, 17), num_classes=7)
    matrix = jax.jit(metrics.confusion_matrix, static_argnames='num_classes')(
      label, prediction, num_classes=7
    )
    np.testing.assert_array_equal(matrix, _count(label, prediction, 7))
    oracle = sklearn.metrics.confusion_matrix(
      label.ravel(), prediction.ravel(), labels=range(7)
    )
    np.testing.assert_array_equal(matrix, oracle)

  def test_uint8_and_all_ignored(self):
    label = np.full((1, 4, 4), 255, np.uint8)
    prediction = np.full((1, 4, 4), 18, np.uint8)
    matrix = metrics.confusion_matrix(
      jnp.asarray(label), jnp.asarray(prediction), num_classes=19
    )
    assert int(matrix.sum()) == 0
    label[0, 0, 0] = 18
    matrix = metrics.confusion_matrix(
      jnp.asarray(label), jnp.asarray(prediction), num_classes=19
    )
    assert int(matrix[18, 18]) == int(matrix.sum()) == 1

  def test_negative_and_large_ids_are_not_counted(self):
    label = jnp.array([-1, 0, 0, 3])
    prediction = jnp.array([0, -1, 3, 0])
    matrix = metrics.confusion_matrix(label, prediction, num_classes=3)
    assert int(matrix.sum()) == 0

  def test_shapes_must_agree(self):
    with pytest.raises(ValueError, match='differ in shape'):
      metrics.confusion_matrix(
        jnp.zeros((4, 6), int), jnp.zeros((6, 4), int), num_classes=2
      )

  def test_per_image_sums_to_whole(self):
    label, prediction = _labels((3, 8, 9), num_classes=5)
    whole = metrics.confusion_matrix(label, prediction, num_classes=5)
    each = metrics.image_confusion_matrices(label, prediction, num_classes=5)
    assert each.shape == (3, 5, 5)
    assert each.dtype == jnp.int32
    np.testing.assert_array_equal(each.sum(0), whole)
    for i in range(3):
      np.testing.assert_array_equal(each[i], _count(label[i], prediction[i], 5))


class TestMergeConfusion:
  def test_is_the_matrix_of_the_mapped_labels(self):
    label, prediction = _labels((2, 20, 20), num_classes=6)
    mapping = np.array([0, 1, 1, 255, 2, 0])
    merged = metrics.merge_confusion(
      _count(label, prediction, 6), mapping, num_classes=3
    )
    table = np.append(mapping, np.full(250, 255))
    new_label, new_prediction = table[label], table[prediction]
    assert merged.shape == (3, 4)
    np.testing.assert_array_equal(
      merged[:, :3], _count(new_label, new_prediction, 3)
    )
    lost = [
      np.sum((new_label == c) & (new_prediction == 255)) for c in range(3)
    ]
    np.testing.assert_array_equal(merged[:, 3], lost)

  def test_lost_prediction_is_an_error(self):
    # Two pixels of class 0, one predicted as class 1, which has no new class.
    matrix = np.array([[1, 1], [0, 5]])
    merged = metrics.merge_confusion(matrix, [0, 255], num_classes=1)
    np.testing.assert_array_equal(merged, [[1, 1]])
    np.testing.assert_array_equal(metrics.iou_per_class(merged), [0.5])

  def test_merging_twice(self):
    matrix = np.arange(36).reshape(6, 6)
    first = metrics.merge_confusion(matrix, [0, 1, 1, 255, 2, 0], num_classes=3)
    twice = metrics.merge_confusion(first, [0, 0, 255], num_classes=1)
    once = metrics.merge_confusion(
      matrix, [0, 0, 0, 255, 255, 0], num_classes=1
    )
    np.testing.assert_array_equal(twice, once)

  def test_leading_axes(self):
    matrices = np.arange(32).reshape(2, 4, 4)
    merged = metrics.merge_confusion(matrices, [1, 0, 1, 255], num_classes=2)
    for i in range(2):
      np.testing.assert_array_equal(
        merged[i],
        metrics.merge_confusion(matrices[i], [1, 0, 1, 255], num_classes=2),
      )

  @pytest.mark.parametrize('mapping', [[0, 1], [0, 1, 2], [0, -1, 1]])
  def test_bad_mapping(self, mapping):
    with pytest.raises(ValueError, match='map'):
      metrics.merge_confusion(np.eye(3, dtype=int), mapping, num_classes=2)


class TestIou:
  def test_hand(self):
    matrix = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    iou = metrics.iou_per_class(matrix)
    np.testing.assert_allclose(iou[:2], [3 / 6, 4 / 7], rtol=1e-15)
    assert np.isnan(iou[2])
    np.testing.assert_allclose(metrics.mean_iou(iou, None), (1 / 2 + 4 / 7) / 2)
    np.testing.assert_allclose(metrics.mean_iou(iou, [1, 2]), 4 / 7)
    assert np.isnan(metrics.mean_iou(iou, [2]))

  def test_against_sklearn(self):
    label, prediction = _labels((4000,), num_classes=9, seed=3)
    counted = label != 255
    oracle = sklearn.metrics.jaccard_score(
      label[counted], prediction[counted], labels=range(9), average=None
    )
    matrix = np.asarray(
      metrics.confusion_matrix(label, prediction, num_classes=9)
    )
    np.testing.assert_allclose(metrics.iou_per_class(matrix), oracle)

  def test_predicted_but_absent_class_is_zero(self):
    np.testing.assert_array_equal(
      metrics.iou_per_class(np.array([[5, 5], [0, 0]])), [0.5, 0.0]
    )

  def test_more_columns_are_errors(self):
    # One pixel of class 0 was predicted as a class that no label has.
    matrix = np.array([[3, 0, 1], [0, 2, 0]])
    np.testing.assert_array_equal(metrics.iou_per_class(matrix), [0.75, 1.0])

  def test_int32_matrices_near_the_limit(self):
    matrix = np.full((2, 2), 2**31 - 1, np.int32)
    np.testing.assert_allclose(metrics.iou_per_class(matrix), [1 / 3, 1 / 3])


class TestNegativeTransfer:
  def test_image_mean_iou(self):
    matrices = np.array([[[2, 2], [0, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(
      metrics.image_mean_iou(matrices), [0.25, 1.0, np.nan]
    )
    np.testing.assert_array_equal(
      metrics.mean_iou(metrics.iou_per_class(matrices), [0]),
      [0.5, 1.0, np.nan],
    )

  def test_rate(self):
    # Worse, equal, better, and one image without labels.
    adapted = np.array([0.2, 0.5, 0.6, np.nan])
    other = np.array([0.3, 0.5, 0.5, np.nan])
    assert metrics.negative_transfer_rate(adapted, other) == 1 / 3
    assert metrics.negative_transfer_rate(other, adapted) == 1 / 3
    assert metrics.negative_transfer_rate(adapted, adapted) == 0
    assert math.isnan(metrics.negative_transfer_rate(adapted[3:], other[3:]))

  def test_other_images(self):
    with pytest.raises(ValueError, match='against'):
      metrics.negative_transfer_rate(np.zeros(3), np.zeros(4))


class TestDepthErrors:
  def test_hand(self):
    # 2 m for 1 m, 2 m for 4 m; the third has no true depth, the fourth is sky.
    prediction = jnp.array([2.0, 2.0, 9.0, 30.0])
    depth = jnp.array([1.0, 4.0, 5.0, 655.35])
    valid = jnp.array([True, True, False, True])
    errors = metrics.depth_errors(
      metrics.depth_error_sums(prediction, depth, valid)
    )
    assert errors == {
      'abs_rel': pytest.approx((1 / 1 + 2 / 4) / 2),
      'sq_rel': pytest.approx((1 / 1 + 4 / 4) / 2),
      'rms': pytest.approx(math.sqrt((1 + 4) / 2)),
      'log_rms': pytest.approx(math.log(2)),
      'delta1': 0.0,
      'delta2': 0.0,
      'delta3': 0.0,
      'pixels': 2,
    }

  def test_against_loop(self):
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 100, (2, 11, 7)).astype(np.float32)
    prediction = (depth * rng.uniform(0.4, 2.2, depth.shape) - 2).astype('f4')
    valid = rng.random(depth.shape) < 0.8
    rows = []
    for p, d, v in zip(
      prediction.ravel(), depth.ravel(), valid.ravel(), strict=True
    ):
      if not v or not 2 < d < 70:
        continue
      p = min(max(float(p), 2.0), 70.0)
      d = float(d)
      ratio = max(p / d, d / p)
      row = [abs(p - d) / d, (p - d) ** 2 / d, (p - d) ** 2]
      row.append(math.log(p / d) ** 2)
      row.extend(ratio < 1.25**k for k in (1, 2, 3))
      rows.append(row)
    mean = np.mean(rows, axis=0)
    sums = jax.jit(
      lambda *x: metrics.depth_error_sums(*x, min_depth=2.0, max_depth=70.0)
    )(prediction, depth, valid)
    assert sums['pixels'].dtype == jnp.int32
    errors = metrics.depth_errors(sums)
    assert errors.pop('pixels') == len(rows)
    expected = [mean[0], mean[1], mean[2] ** 0.5, mean[3] ** 0.5, *mean[4:]]
    names = ['abs_rel', 'sq_rel', 'rms', 'log_rms']
    names += ['delta1', 'delta2', 'delta3']
    for name, value in zip(names, expected, strict=True):
      assert errors[name] == pytest.approx(value, rel=1e-5), name

  def test_batches_add_up(self):
    rng = np.random.default_rng(1)
    depth = rng.uniform(1, 60, (4, 5, 6)).astype(np.float32)
    prediction = depth + rng.normal(size=depth.shape).astype(np.float32)
    valid = rng.random(depth.shape) < 0.7
    whole = metrics.depth_error_sums(prediction, depth, valid)
    parts = [
      metrics.depth_error_sums(prediction[i], depth[i], valid[i])
      for i in range(4)
    ]
    for name, total in whole.items():
      added = sum(float(part[name]) for part in parts)
      assert added == pytest.approx(float(total), rel=1e-5), name

  def test_perfect(self):
    depth = jnp.array([[[1.0, 10.0], [40.0, 79.0]]])
    errors = metrics.depth_errors(
      metrics.depth_error_sums(depth, depth, jnp.ones(depth.shape, bool))
    )
    assert [errors[k] for k in ('abs_rel', 'sq_rel', 'rms', 'log_rms')] == [
      0
    ] * 4
    assert [errors[f'delta{k}'] for k in (1, 2, 3)] == [1, 1, 1]

  def test_nothing_counts(self):
    depth = jnp.zeros((1, 2, 2))
    sums = metrics.depth_error_sums(
      jnp.full((1, 2, 2), jnp.inf), depth, jnp.ones(depth.shape, bool)
    )
    assert all(float(total) == 0 for total in sums.values())
    assert math.isnan(metrics.depth_errors(sums)['rms'])

  def test_negative_and_infinite_predictions_are_clipped(self):
    depth = jnp.array([10.0, 10.0])
    errors = metrics.depth_errors(
      metrics.depth_error_sums(
        jnp.array([-3.0, jnp.inf]), depth, jnp.array([True, True])
      )
    )
    expected = math.sqrt(((10 - 1e-3) ** 2 + 70**2) / 2)
    assert errors['rms'] == pytest.approx(expected)
