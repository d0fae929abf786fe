"""Threads that act as the processes of one run, for tests."""

from concurrent import futures
import json
import threading

import jax

from jaxuda.run import cluster


def run(function, monkeypatch, *, count=2):
  """Calls `function()` in so many 'processes'; returns what each returned."""
  mine, slots = threading.local(), {}
  barrier = threading.Barrier(count, timeout=120)
  meet = barrier.wait

  def index():
    return getattr(mine, 'index', 0)

  def gather(value):
    slots[index()] = json.dumps(value)
    meet()
    found = [json.loads(slots[i]) for i in range(count)]
    meet()
    return found

  def work(i):
    mine.index = i
    try:
      return function()
    except BaseException:
      barrier.abort()
      raise

  with monkeypatch.context() as patch:
    patch.setattr(jax, 'process_count', lambda: count)
    patch.setattr(jax, 'process_index', index)
    patch.setattr(cluster, 'gather', gather)
    patch.setattr(cluster, '_wait', meet)
    with futures.ThreadPoolExecutor(count) as pool:
      calls = [pool.submit(work, i) for i in range(count)]
      failed = [x.exception() for x in calls if x.exception()]
      for e in failed:  # The cause before its consequences in others.
        if not isinstance(e, threading.BrokenBarrierError):
          raise e
      return [x.result() for x in calls]
