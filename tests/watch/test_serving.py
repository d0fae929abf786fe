"""The page, over HTTP and in a browser."""

import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.ui import panels
from jaxuda.watch import serving
from jaxuda.watch import watching
from tests.report import browser
from tests.watch import test_watching

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTILE = '<img src=x onerror=alert(1)>'


@pytest.fixture(name='server')
def _server(tmp_path):
  """Serves a run `a` that trains, and a run `b` that is awaited."""
  test_watching.write_run(tmp_path / 'a', pair=HOSTILE)
  for step in (6, 12):
    picture = np.full((20, 60, 3), step, np.uint8)
    path = tmp_path / 'a' / 'pictures' / f'target_{step:07d}.png'
    panels.write_png(path, picture)
  watch = watching.Watch([str(tmp_path / x) for x in 'ab'])
  with serving.listen(watch, port=0) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def ask(server, path, *, method='GET', **headers):
  connection = http.client.HTTPConnection('127.0.0.1', server.server_port)
  connection.request(method, path, headers=headers)
  answer = connection.getresponse()
  data = answer.read()
  connection.close()
  return answer.status, answer.headers, data


def test_answers(server, tmp_path):
  assert server.server_address[0] == '127.0.0.1'
  status, headers, data = ask(server, '/')
  assert (status, b'</html>' in data) == (200, True)
  assert "default-src 'none'" in headers['Content-Security-Policy']
  # Every file that the page names exists.
  names = re.findall(r'(?:src|href)="(\w+\.\w+)"', data.decode())
  assert len(names) == 4
  assert {ask(server, f'/{name}')[0] for name in names} == {200}
  status, headers, none = ask(server, '/', method='HEAD')
  assert (status, none) == (200, b'')
  assert headers['Content-Length'] == str(len(data))
  _, _, data = ask(server, '/state.json')
  first, second = json.loads(data)['runs']
  assert [first['name'], first['share']] == ['a', 0.5]
  assert second['said'] == 'not started yet'
  path = f'/pictures/{first["key"]}/target_0000006.png'
  file = tmp_path / 'a' / 'pictures' / 'target_0000006.png'
  assert ask(server, path)[2] == file.read_bytes()


def test_nothing_else_is_read(server):
  _, _, data = ask(server, '/state.json')
  key = json.loads(data)['runs'][0]['key']
  for path in (
    *('/../watch.py', '/%2e%2e/serving.py', '//etc/passwd', '/etc/passwd'),
    *(f'/pictures/{key}/../config.json', f'/pictures/{key}/%2e%2e/config.json'),
    *(f'/pictures/{key}/..%2fconfig.json', f'/pictures/{key}/'),
    *(f'/pictures/{key}//etc/passwd', '/pictures/../a/config.json'),
    *(
      f'/pictures/{key}/target_0000006.png/..',
      '/watch.html',
      '/a/config.json',
    ),
    *(f'/pictures/{"0" * 12}/target_0000006.png', '/state.json/'),
  ):
    assert ask(server, path)[0] == 404, path
  # The name of another site may resolve to this machine.
  assert ask(server, '/state.json', Host='evil.example:80')[0] == 403
  assert ask(server, '/state.json', Host='localhost:7007')[0] == 200
  assert ask(server, '/', method='POST')[0] == 501


def test_a_port_that_is_taken():
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(errors.UserError, match=f'--port={port}: .*in use'):
      serving.listen(watching.Watch(['a']), port=port)


# Background processes of a shell ignore Ctrl-C, as do their children.
_AS_IN_FRONT = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module('jaxuda', run_name='__main__')
"""


def test_the_command_ends_with_ctrl_c(tmp_path):
  later = str(tmp_path / 'later')
  with subprocess.Popen(
    [sys.executable, '-c', _AS_IN_FRONT, 'watch', later],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    line = process.stdout.readline()
    address = re.fullmatch(r'http://127\.0\.0\.1:(\d+)/ shows .*\n', line)
    connection = http.client.HTTPConnection('127.0.0.1', int(address[1]))
    connection.request('GET', '/state.json')
    assert b'not started yet' in connection.getresponse().read()
    process.send_signal(signal.SIGINT)
    try:
      out, err = process.communicate(timeout=60)
    finally:
      process.kill()
  assert (process.returncode, out, err) == (0, '\nended\n', '')


@pytest.mark.skipif(not browser.find(), reason='no Chromium on this machine')
def test_in_a_browser(server, tmp_path):
  address = f'http://127.0.0.1:{server.server_port}/'
  cards = "[...document.querySelectorAll('.run')].map((x) => x.innerText)"
  with browser.Browser(tmp_path / 'profile') as opened:
    opened.open(address)
    opened.run('refresh()')
    first, second = opened.run(cards)
    assert {'12 of 24 steps', '2.00 steps/s', '6 s left'} <= {
      *first.splitlines()
    }
    assert HOSTILE in first
    assert 'not started yet' in second
    source = "document.querySelector('.picture img').src.slice(-18)"
    assert opened.run(source) == 'target_0000012.png'
    assert opened.run("document.querySelector('.picture img').decode()") is None
    # The second starts, and the first continues: one more line and picture.
    test_watching.write_run(tmp_path / 'b')
    line = {**test_watching.LINES[2], 'step': 18, 'loss_seg': 0.75}
    with (tmp_path / 'a' / 'metrics.jsonl').open('a') as f:
      f.write(json.dumps(line) + '\n{"kind": "tr')
    picture = np.zeros((20, 60, 3), np.uint8)
    panels.write_png(tmp_path / 'a/pictures/target_0000018.png', picture)
    opened.run('refresh()')
    first, second = opened.run(cards)
    assert '18 of 24 steps' in first
    assert '12 of 24 steps' in second
    assert opened.run(source) == 'target_0000018.png'
    points = """document.querySelectorAll(
      '[data-curve=loss_seg] svg circle').length"""
    assert opened.run(points) == 3 + 2
    told = "document.querySelector('[data-curve=loss_seg] .told').innerText"
    assert opened.run(told).split() == ['0.75', '1.25']
    # No wider than a phone.
    opened.call(
      'Emulation.setDeviceMetricsOverride',
      **dict(width=375, height=800, deviceScaleFactor=1, mobile=True),
    )
    assert opened.run('document.documentElement.scrollWidth') <= 375
    # Without the server it says so.
    server.shutdown()
    server.server_close()
    opened.run('refresh()')
    lost = "document.querySelector('#lost:not([hidden])').innerText"
    assert 'jaxuda watch does not answer' in opened.run(lost)
    addresses = {
      options['request']['url']
      for name, options in opened.events
      if name == 'Network.requestWillBeSent'
    }
    assert not any(n == 'Runtime.exceptionThrown' for n, _ in opened.events)
  assert all(x.startswith((address, 'data:')) for x in addresses)
