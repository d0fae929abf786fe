"""What the command-line tools share: how they start and how they fail."""

from collections.abc import Callable, Sequence
import difflib
import functools
import pathlib
import re
import sys
from typing import Any
import warnings

from absl import app
from absl import flags
from absl import logging
import ml_collections
from ml_collections.config_flags import config_flags

from jaxuda import errors


def run(
  main: Callable[..., Any], *, argument: str = '', pass_on: bool = False
) -> None:
  """Parses the flags and calls `main()`; a user's mistake is one line.

  Args:
    main: what to call.
    argument: what the one argument beside the flags is called, which `main`
      then gets; '' for none, 'RUN...' for one or more.
    pass_on: whether `main` also gets what follows `--`, for other commands.

  Raises:
    SystemExit: 1 and a line on stderr for a UserError or a mistake in a flag.
  """

  def guarded(argv):
    # app.run lowers it to INFO, where orbax tells of its every step.
    logging.set_verbosity(logging.WARNING)
    try:
      code = main(*argv[1:], *after)
    except errors.UserError as e:
      fail(str(e))
    sys.exit(code)

  argv, after = sys.argv, []
  if pass_on and '--' in argv:
    end = argv.index('--')
    argv, after = argv[:end], argv[end + 1 :]
  parser = functools.partial(parse_flags, argument=argument)
  app.run(guarded, argv=argv, flags_parser=parser)


def hide_accelerators() -> None:
  """Keeps TensorFlow, which only reads data, off the GPUs and TPUs.

  It would otherwise reserve their memory before JAX can.
  """
  import tensorflow as tf

  for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)


def define_cluster() -> None:
  """Defines the flags that say which of several processes this is.

  See `run.cluster`.
  """
  values = flags.FLAGS
  flags.DEFINE_string(
    'coordinator_address',
    None,
    'HOST:PORT of process 0, the same for all.',
    flag_values=values,
  )
  for name, default, text in (
    ('num_processes', None, 'Number of processes.'),
    ('process_id', None, 'Number of this process, from 0.'),
    ('connect_timeout', 300, 'Seconds within which all must have started.'),
    ('heartbeat_timeout', 100, 'Seconds of silence after which one is dead.'),
  ):
    flags.DEFINE_integer(name, default, text, flag_values=values)


def fail(message: str) -> None:
  """Prints one line on stderr and exits with 1."""
  report(message)
  sys.exit(1)


def report(message: str) -> None:
  """Prints a mistake as one line on stderr."""
  print('error: ' + ' '.join(message.split()), file=sys.stderr, flush=True)


def parse_flags(argv: Sequence[str], *, argument: str = '') -> list[str]:
  """Parses flags; whatever is wrong with them is one line.

  ml_collections raises AttributeError or KeyError for a field that a config
  does not have, and wraps what a config file raises in a traceback.
  """
  path = _value_of(argv, 'config')
  if path is not None:
    _check_file(path.partition(':')[0])
  try:
    rest = flags.FLAGS(list(argv))
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as e:
    line = _explain(argv, path, str(e), in_flag=isinstance(e, flags.Error))
    if line is None:
      raise
    fail(line)
  several = argument.endswith('...')
  if argument and (len(rest) < 2 if several else len(rest) != 2):
    fail(f'{len(rest) - 1} arguments; expected {argument} and --flags')
  if not argument and len(rest) > 1:
    fail(f'unexpected argument {rest[1]!r}; expected only --flags')
  return rest


def read_config(
  path: str, overrides: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """Returns the config that a command would have.

  Args:
    path: what `--config` takes.
    overrides: '--config.field=value'.

  Raises:
    UserError: an unknown argument or field, or a value of another type.
  """
  values = flags.FlagValues()
  argv = ['', f'--config={path}', *overrides]
  config_flags.DEFINE_config_file(
    *('config', None, path), flag_values=values, sys_argv=argv
  )
  try:
    with warnings.catch_warnings():
      # Of how ml_collections loads a file.
      warnings.simplefilter('ignore', DeprecationWarning)
      values(argv)
    return values.config
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as e:
    line = _explain(argv, path, str(e), in_flag=isinstance(e, flags.Error))
    if line is None:
      raise
    raise errors.UserError(line) from e


def _check_file(file):
  """ml_collections reports a missing config only once its value is used."""
  file = pathlib.Path(file)
  if not file.is_file():
    beside = sorted(
      str(path)
      for path in file.parent.glob('*.py')
      if 'def get_config' in path.read_text()
    )
    fail(
      f'no config file {file}; expected '
      + ('one of ' + ', '.join(beside) if beside else 'configs/<method>.py')
    )


def _explain(argv, path, text, *, in_flag):
  """One line for a user's mistake, None for a mistake in a config file."""
  if 'Error whilst parsing config file' in text:
    # What the config file raised is the last line of the traceback.
    last = text.strip().splitlines()[-1].strip()
    kind, _, message = last.partition(': ')
    return message if kind == 'ValueError' else None
  if in_flag:
    return text
  return path and _unknown_field(argv, path)


def _unknown_field(argv, path):
  """Names the first --config.field that the config does not have."""
  fields = _read_fields(path)
  for argument in argv[1:]:
    match = re.match(r'--?config\.([^=]+)', argument)
    if match and match[1] not in fields:
      expected = ', '.join(_alternatives(match[1], fields))
      return f'unknown field config.{match[1]}; expected one of {expected}'
  return None


def _alternatives(field, fields):
  """Returns the fields most like a misspelt one, else all in its group."""
  group, _, last = field.rpartition('.')
  while group and group not in fields:
    group, _, last = group.rpartition('.')
  prefix = f'{group}.' if group else ''
  beside = [
    f.removeprefix(prefix)
    for f in fields
    if f.startswith(prefix) and '.' not in f.removeprefix(prefix)
  ]
  names = difflib.get_close_matches(last, beside, n=3) or beside
  if group and not beside:
    return [f'config.{group}']
  return [f'config.{prefix}{name}' for name in names]


def _read_fields(path):
  """Returns the dotted names of all groups and fields of a config."""
  config = read_config(path)
  names = []

  def walk(tree, prefix):
    for name, value in tree.items():
      names.append(prefix + name)
      if isinstance(value, dict):
        walk(value, f'{prefix}{name}.')

  walk(config.to_dict(), '')
  return names


def _value_of(argv, name):
  """Returns the value of --name=value or --name value, None without it."""
  for i, argument in enumerate(argv):
    if argument in (f'--{name}', f'-{name}') and i + 1 < len(argv):
      return argv[i + 1]
    match = re.match(rf'--?{name}=(.*)', argument)
    if match:
      return match[1]
  return None


def define_views() -> None:
  """Defines the flags that say how pictures are looked at."""
  flags.DEFINE_bool('flip', False, 'Also look at the mirrored picture.')
  flags.DEFINE_list('scales', ['1'], "Of the network's input.")
  flags.DEFINE_bool('window', False, 'Overlapping pieces at full resolution.')


def define_data() -> None:
  """Defines the flags that say where the data of a run lie."""
  flags.DEFINE_string('data_dir', None, 'Where TFDS keeps its data.')
  flags.DEFINE_string(
    'manual_dir', None, 'Where the target dataset was downloaded to.'
  )
