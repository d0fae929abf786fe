import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.evaluate import counting
from jaxuda.evaluate import views
from jaxuda.run import workdir as workdir_lib
from tests import tiny


def _state(method, config):
  return method.init(*workdir_lib.init_args(config, method))


def test_merge_table_counts_predictions_without_a_counterpart_as_errors():
  table = counting.merge_table('cityscapes19', 'synthia16')
  names = labels.CLASS_SETS['cityscapes19'].names
  assert table[names.index('terrain')] == 16
  assert table[names.index('sky')] == 9
  assert len(table) == 19
  with pytest.raises(errors.UserError, match='cannot be merged'):
    counting.merge_table('coarse7', 'cityscapes19')


def test_result_is_the_same_under_jit_and_on_one_device():
  method, config = tiny.Method(), tiny.make_config()
  state = _state(method, config)
  batch = next(tiny.eval_stream(config.data, classes='', batch_size=2))
  options = dict(method=method, table=None, count=tiny.CLASSES)
  compiled = counting.count_once(state, batch, judge=False, **options)
  with jax.disable_jit():
    eager = counting.count_once(state, batch, judge=False, **options)
  np.testing.assert_array_equal(compiled['confusion'], eager['confusion'])
  assert compiled['confusion'].shape == (2, tiny.CLASSES, tiny.CLASSES + 1)


@pytest.mark.parametrize('table', [None, (0, 0, 1, 7, 3, 4, 5)])
def test_one_view_counts_as_without_views(table):
  """Two ways to the same numbers, with labels larger than the images."""
  method, config = tiny.Method(), tiny.make_config()
  state = _state(method, config)
  batch = next(tiny.eval_stream(config.data, classes='', batch_size=2))
  options = dict(method=method, table=table, count=tiny.CLASSES)
  plain = counting.count_once(state, batch, judge=False, **options)
  viewed = counting.count_views(
    state,
    batch,
    size=config.data.target.size,
    views=views.Views(),
    image_resize='bicubic',
    **options,
  )
  np.testing.assert_array_equal(viewed['confusion'], plain['confusion'])
  assert viewed['confusion'].sum() == (batch['label'] < 255).sum()


def test_predicts_depth():
  config = tiny.make_config()
  for depth in (True, False):
    method = tiny.Method(depth=depth)
    state = _state(method, config)
    assert counting.predicts_depth(method, state, (8, 16)) == depth
