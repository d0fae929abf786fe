"""Serves the page, its state and its pictures, to this machine alone."""

from collections.abc import Callable
import http.server
import json
import pathlib
import re
import sys
from typing import Any

from jaxuda import errors
from jaxuda import report
from jaxuda.watch import watching

_HERE = pathlib.Path(__file__).parent / 'templates'
_REPORT = pathlib.Path(report.__file__).parent / 'templates'
_TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
}
# Address -> file. Apart from the pictures, nothing else is read.
_FILES = {
  '/': _HERE / 'watch.html',
  '/watch.css': _HERE / 'watch.css',
  '/watch.js': _HERE / 'watch.js',
  '/chart.js': _HERE / 'chart.js',
  # Colours and tables are shared with the report.
  '/report.css': _REPORT / 'report.css',
}
# File names have no folder; they are not decoded, which could reveal a %2f.
_PICTURE = re.compile(r'/pictures/([0-9a-f]{12})/([a-z_]+_[0-9]+\.png)')
_HEADERS = {
  'Content-Security-Policy': "default-src 'none'; base-uri 'none';"
  " form-action 'none'; frame-ancestors 'none'; connect-src 'self';"
  " img-src 'self' data:; script-src 'self'; style-src 'self' 'unsafe-inline'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
}


class Server(http.server.ThreadingHTTPServer):
  """A server of one `Watch`; a browser that disconnects is not an error."""

  daemon_threads = True

  def __init__(self, port: int, watch: watching.Watch):
    """Listens on 127.0.0.1. Port 0 takes any free one, see `server_port`."""
    self.watch = watch
    super().__init__(('127.0.0.1', port), _Handler)

  def handle_error(self, request: Any, client_address: Any) -> None:
    """Prints an error in one line."""
    error = sys.exception()
    if not isinstance(error, ConnectionError):
      print(f'{type(error).__name__}: {error}', file=sys.stderr, flush=True)


def listen(watch: watching.Watch, *, port: int) -> Server:
  """Returns a server that listens; its `serve_forever` answers requests.

  Args:
    watch: the runs that it shows.
    port: port on 127.0.0.1; 0 for any free one.

  Raises:
    UserError: the port is taken or not permitted.
  """
  try:
    return Server(port, watch)
  except OSError as e:
    raise errors.UserError(
      f'--port={port}: {e.strerror}; expected a port that is free, or 0 for any'
    ) from e


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers GET and HEAD."""

  server_version, sys_version = 'jaxuda', ''

  def do_GET(self) -> None:
    """Answers with a file of the page, its state or a picture."""
    # Against DNS rebinding: another site's name may resolve to this machine.
    name = self.headers.get('Host', '').partition(':')[0]
    if name not in ('127.0.0.1', 'localhost'):
      return self._answer(403, b'expected 127.0.0.1 or localhost', 'text/plain')
    address = self.path.partition('?')[0]
    if address == '/state.json':
      text = json.dumps(self.server.watch.read(), allow_nan=False)
      return self._answer(200, text.encode(), 'application/json')
    if address in _FILES:
      path = _FILES[address]
      return self._answer(200, path.read_bytes(), _TYPES[path.suffix])
    match = _PICTURE.fullmatch(address)
    path = match and self.server.watch.find_picture(*match.groups())
    if path is None:
      return self._answer(404, b'nothing here', 'text/plain')
    return self._answer(200, path.read_bytes(), 'image/png')

  do_HEAD: Callable[..., None] = do_GET

  def _answer(self, code, data, kind):
    self.send_response(code)
    self.send_header('Content-Type', kind)
    self.send_header('Content-Length', str(len(data)))
    for name, value in _HEADERS.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(data)

  def log_message(self, *unused: Any) -> None:
    """Prints nothing: a line for each refresh would bury the address."""
