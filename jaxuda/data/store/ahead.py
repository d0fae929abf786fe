"""A function over many items, computed ahead in threads."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import itertools
import os
from typing import Any, TypeVar

T = TypeVar('T')


def map_ahead(
  function: Callable[[Any], Any],
  items: Iterable[Any],
  *,
  workers: int | None = None,
  ahead: int | None = None,
) -> Iterator[Any]:
  """Yields the results in the order of the items, which may be endless.

  Args:
    function: is called in threads; what it raises is raised here.
    items: its arguments.
    workers: number of threads; default: one for each CPU.
    ahead: most results to compute before they are asked for; default: two for
      each thread.
  """
  workers = workers or max(os.cpu_count() or 1, 1)
  items = iter(items)
  with futures.ThreadPoolExecutor(workers) as pool:
    waiting = collections.deque(
      pool.submit(function, x)
      for x in itertools.islice(items, ahead or 2 * workers)
    )
    try:
      while waiting:
        result = waiting.popleft().result()
        waiting.extend(
          pool.submit(function, x) for x in itertools.islice(items, 1)
        )
        yield result
    finally:
      for future in waiting:
        future.cancel()


def one_behind(results: Iterable[T]) -> Iterator[T]:
  """Yields each result once the next one has been asked for.

  Results that devices still compute when they are returned: the devices have
  the next one to work on while the host takes the last.
  """
  waiting = None
  for result in results:
    if waiting is not None:
      yield waiting
    waiting = result
  if waiting is not None:
    yield waiting
