import itertools
import time

import pytest

from jaxuda.data.store import ahead


def test_results_come_in_the_order_of_the_items():
  def slow_first(x):
    time.sleep(0.05 if x == 0 else 0)
    return x * x

  assert list(ahead.map_ahead(slow_first, range(9), workers=3)) == [
    x * x for x in range(9)
  ]
  assert list(ahead.map_ahead(slow_first, ())) == []


def test_no_more_is_computed_than_asked_for():
  seen = []
  results = ahead.map_ahead(seen.append, itertools.count(), workers=2, ahead=3)
  assert [next(results) for _ in range(4)] == [None] * 4
  results.close()
  # Those that were taken, one of each being replaced, and three ahead.
  assert len(seen) <= 4 + 3


def test_errors_are_raised_in_their_place():
  results = ahead.map_ahead(lambda x: 1 // x, [1, 0, 1], workers=2)
  assert next(results) == 1
  with pytest.raises(ZeroDivisionError):
    next(results)


def test_one_behind():
  asked = []
  results = ahead.one_behind(map(lambda x: asked.append(x) or x, range(4)))
  assert next(results) == 0
  assert asked == [0, 1]
  assert list(results) == [1, 2, 3]
  assert list(ahead.one_behind([])) == []
