"""Maps a function over many items, computing ahead in threads."""

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
    function: function to call in threads; its exceptions are raised here.
    items: arguments of the calls.
    workers: number of threads; default: one per CPU.
    ahead: maximum number of results to compute before they are requested;
      default: two per thread.
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
  """Yields each result after the next one has been requested.

  This is for results that devices are still computing when they are returned:
  the devices work on the next one while the host uses the last.
  """
  waiting = None
  for result in results:
    if waiting is not None:
      yield waiting
    waiting = result
  if waiting is not None:
    yield waiting
