"""Examples that are read one at a time."""

import pytest

from jaxuda import errors
from jaxuda.data.records import rows
from jaxuda.depth.foundation import coding


def test_a_split_without_the_field_is_named(add_dataset, data_dir):
  nothing = {'depthless_splits': ['val'], 'unlabelled_splits': ['val']}
  add_dataset('near', **nothing)
  where = {'split': 'val', 'data_dir': data_dir}
  with pytest.raises(
    errors.UserError, match="near has no depth in split 'val'"
  ):
    coding.measure('near', **where)
  with pytest.raises(errors.UserError, match="near has no label in split 'val"):
    rows.Rows('near', fields=('image', 'label'), **where)
  assert len(rows.Images('near', **where)) == 5
