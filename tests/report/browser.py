"""Headless Chromium over its own pipe: no driver, no network, no package."""

import json
import os
import shutil
import subprocess
import sys
import time

# Chromium reads commands from descriptor 3 and answers on 4; the first two
# arguments are the pipes.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(x), fcntl.F_DUPFD, 10) for x in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
  os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


def find():
  """Returns the path of a Chromium, or None."""
  return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
  """A context that opens one page.

  Attributes:
    events: (method, parameters) of the page's events so far.
  """

  def __init__(self, profile):
    self.events = []
    self._profile = profile
    self._number, self._buffer, self._session = 0, b'', None

  def __enter__(self):
    read, self._out = os.pipe()
    self._in, write = os.pipe()
    options = [
      *('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'),
      *('--disable-dev-shm-usage', '--disable-background-networking'),
      *('--remote-debugging-pipe', f'--user-data-dir={self._profile}'),
    ]
    launch = [sys.executable, '-c', _LAUNCH, str(read), str(write), find()]
    self._process = subprocess.Popen(
      [*launch, *options],
      pass_fds=(read, write),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(read)
    os.close(write)
    try:
      self._attach()
    except BaseException:
      self._close()
      raise
    return self

  def __exit__(self, *unused):
    try:
      self._session = None
      self.call('Browser.close')
      self._process.wait(30)
    finally:
      self._close()

  def _attach(self):
    target = self.call('Target.createTarget', url='about:blank')
    self._session = self.call(
      'Target.attachToTarget', targetId=target['targetId'], flatten=True
    )['sessionId']
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
      self.call(f'{domain}.enable')

  def _close(self):
    self._process.kill()
    self._process.wait()
    os.close(self._in)
    os.close(self._out)

  def open(self, place):
    """Opens a file or an address, and waits until it has loaded."""
    self.events.clear()
    url = place if isinstance(place, str) else place.absolute().as_uri()
    self.call('Page.navigate', url=url)
    end = time.monotonic() + 120
    while not any(name == 'Page.loadEventFired' for name, _ in self.events):
      assert time.monotonic() < end, 'the page does not load'
      self._take(self._receive())

  def run(self, script):
    """Returns the value of a script, or of the promise that it returns."""
    result = self.call(
      'Runtime.evaluate',
      expression=script,
      returnByValue=True,
      awaitPromise=True,
    )
    assert 'exceptionDetails' not in result, result
    return result['result'].get('value')

  def call(self, method, **parameters):
    """Returns the response to a command of the DevTools protocol."""
    self._number += 1
    message = {'id': self._number, 'method': method, 'params': parameters}
    if self._session:
      message['sessionId'] = self._session
    os.write(self._out, json.dumps(message).encode() + b'\0')
    while True:
      answer = self._receive()
      if answer.get('id') == self._number:
        assert 'error' not in answer, answer
        return answer['result']
      self._take(answer)

  def _take(self, message):
    if 'method' in message:
      self.events.append((message['method'], message.get('params', {})))

  def _receive(self):
    while b'\0' not in self._buffer:
      data = os.read(self._in, 1 << 16)
      assert data, 'Chromium ended'
      self._buffer += data
    message, _, self._buffer = self._buffer.partition(b'\0')
    return json.loads(message)
