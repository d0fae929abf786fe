"""What the command-line tools share: how they start and how they fail."""

from collections.abc import Callable, Sequence
import difflib
import re
import sys
from typing import Any

from absl import app
from absl import flags

from jaxuda import errors


def run(main: Callable[[], Any]) -> None:
  """Parses the flags and calls `main()`; a user's mistake is one line.

  Raises:
    SystemExit: 1 and a line on stderr for a UserError or a mistake in a flag.
  """

  def guarded(unused_argv):
    try:
      code = main()
    except errors.UserError as e:
      fail(str(e))
    sys.exit(code)

  app.run(guarded, flags_parser=parse_flags)


def hide_accelerators() -> None:
  """Keeps TensorFlow, which only reads data, off the GPUs and TPUs.

  It would otherwise reserve their memory before JAX can.
  """
  import tensorflow as tf

  for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)


def fail(message: str) -> None:
  """Prints one line on stderr and exits with 1."""
  print('error: ' + ' '.join(message.split()), file=sys.stderr)
  sys.exit(1)


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses flags; whatever is wrong with them is one line.

  ml_collections raises AttributeError or KeyError for a field that a config
  does not have, and wraps what a config file raises in a traceback.
  """
  try:
    rest = flags.FLAGS(list(argv))
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as e:
    fail(_explain(argv, e))
  if len(rest) > 1:
    fail(f'unexpected argument {rest[1]!r}; expected only --flags')
  for name in flags.FLAGS:
    # A config file that is not there is reported only when its value is used.
    if type(flags.FLAGS[name].value).__name__ == '_ErrorConfig':
      path = flags.FLAGS[name].value.__dict__.get('_filename', '')
      fail(_missing_config(argv, name) or f'no config file {path}')
  return rest


def _explain(argv, error):
  text = str(error)
  if 'Error whilst parsing config file' in text:
    # The last line of the traceback says what the config file raised.
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r'^([\w.]*Error): ', '', lines[-1])
  if isinstance(error, flags.Error):
    return text
  return _unknown_field(argv) or text


def _unknown_field(argv):
  """Names the first --config.field that the config does not have."""
  path = _value_of(argv, 'config')
  if path is None:
    return None
  known = _load_fields(path)
  for argument in argv[1:]:
    match = re.match(r'--?config\.([^=]+)', argument)
    if match and match[1] not in known:
      field = match[1]
      return (
        f'unknown field config.{field}; expected {_alternatives(field, known)}'
      )
  return None


def _alternatives(field, known):
  """The fields most like a misspelt one, else those beside it."""
  close = difflib.get_close_matches(field, known, n=3)
  if not close:
    # `optim.lr` for `optim.learning_rate`: the siblings help more.
    parent = field.rpartition('.')[0]
    close = [f for f in known if f.rpartition('.')[0] == parent] or known
  return 'one of ' + ', '.join(close) if len(close) > 1 else close[0]


def _load_fields(path):
  """Returns the dotted names of every field of a config file."""
  from ml_collections.config_flags import config_flags

  file, _, argument = path.partition(':')
  parser = config_flags.ConfigFileFlagParser(name='config')
  config = parser.parse(f'{file}:{argument}' if argument else file)
  names = []

  def walk(node, prefix):
    for name in node:
      names.append(prefix + name)
      value = node.get_ref(name) if hasattr(node, 'get_ref') else None
      value = value.get() if value is not None else None
      if hasattr(value, 'get_ref'):
        walk(value, f'{prefix}{name}.')

  walk(config, '')
  return names


def _missing_config(argv, name):
  path = _value_of(argv, name)
  return f'no config file {path}; expected configs/<method>.py' if path else ''


def _value_of(argv, name):
  for i, argument in enumerate(argv):
    if argument in (f'--{name}', f'-{name}') and i + 1 < len(argv):
      return argv[i + 1]
    match = re.match(rf'--?{name}=(.*)', argument)
    if match:
      return match[1]
  return None
