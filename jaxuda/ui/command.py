"""What all commands share: their flags, their config, and their errors."""

from collections.abc import Callable, Sequence
import difflib
import functools
import os
import re
import select
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging
import ml_collections
from ml_collections.config_flags import config_flags

from jaxuda import errors
from jaxuda.ui import config_files

# Flags of paths for which '' would be the working directory, or as if they were
# not given: a variable of the shell that is not set.
_NEVER_EMPTY = ('workdir', 'out', 'to', 'output', 'manual_dir')
# Fields of a config that are paths. Those of data are expanded where they are
# read, so that configs of older runs do not differ.
_PATHS = ('initial', 'generator', 'self_training.adversarial')
# In --help, flags that are defined here are listed as those of the command.
flags.disclaim_key_flags()
_OVERRIDE = re.compile(r'--?(no)?config\.([^=]+)(=.*)?', re.DOTALL)


def run(
  main: Callable[..., Any], *, argument: str = '', pass_on: bool = False
) -> None:
  """Parses the flags and calls `main()`; reports user errors in one line.

  Args:
    main: the function to call.
    argument: name of the one positional argument, which is passed to `main`; ''
      if there is none, 'RUN...' for one or more.
    pass_on: whether the arguments after `--` are also passed to `main`.

  Raises:
    SystemExit: with status 1 and a line on stderr for a UserError or a mistake
      in a flag, with 130 and a line after Ctrl-C; with the return value of
      `main` otherwise.
  """

  def guarded(argv):
    # app.run lowers it to INFO, at which orbax logs its every step.
    logging.set_verbosity(logging.WARNING)
    try:
      code = main(*argv[1:], *after)
      sys.stdout.flush()
    except errors.UserError as e:
      fail(str(e))
    except KeyboardInterrupt:
      report('stopped by Ctrl-C')
      sys.exit(130)  # As a shell reports SIGINT.
    except BrokenPipeError:
      _stop_if_unread()
      raise
    sys.exit(code)

  argv, after = sys.argv, []
  if pass_on and '--' in argv:
    end = argv.index('--')
    argv, after = argv[:end], argv[end + 1 :]
  parser = functools.partial(parse_flags, argument=argument)
  app.run(guarded, argv=argv, flags_parser=parser)


def _stop_if_unread():
  """Exits silently if the reader of stdout has closed it, as `head` does."""
  pipe = select.poll()
  pipe.register(sys.stdout.fileno(), 0)
  if pipe.poll(0):
    # The rest of the buffer would be written on exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def hide_accelerators() -> None:
  """Keeps TensorFlow, which only reads data, off the GPUs and TPUs.

  It would otherwise reserve their memory before JAX can.
  """
  import tensorflow as tf

  for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)


def define_cluster() -> None:
  """Defines the flags that identify this process among several.

  See `run.cluster`.
  """
  values = flags.FLAGS
  flags.DEFINE_string(
    'coordinator_address',
    None,
    'HOST:PORT of process 0, the same for all processes.',
    flag_values=values,
  )
  for name, default, text in (
    ('num_processes', None, 'Number of processes.'),
    ('process_id', None, 'Index of this process, from 0.'),
    ('connect_timeout', 300, 'Seconds to wait for all processes to start.'),
    (
      'heartbeat_timeout',
      100,
      'Seconds of silence after which a process counts as dead.',
    ),
  ):
    flags.DEFINE_integer(name, default, text, flag_values=values)


def fail(message: str) -> None:
  """Prints one line on stderr and exits with 1."""
  report(message)
  sys.exit(1)


def report(message: str) -> None:
  """Prints an error as one line on stderr."""
  print('error: ' + ' '.join(message.split()), file=sys.stderr, flush=True)


def define_config(
  text: str = 'Config: METHOD:argument=value,... or FILE.py:argument=value,...',
  *,
  default: str | None = None,
) -> flags.FlagHolder:
  """Defines --config, and with it --config.field=value for every field.

  Once `run` has parsed the flags, the value of --config is the locked config.
  `text` is the flag's help, `default` the name of a config if none is given.
  """
  return flags.DEFINE_string('config', default, text)


def parse_flags(argv: Sequence[str], *, argument: str = '') -> list[str]:
  """Parses flags; exits with one line if anything is wrong with them."""
  try:
    if 'config' in flags.FLAGS:
      argv = _read_config_flag(argv)
    rest = flags.FLAGS(list(argv))
    _finish_paths(flags.FLAGS)
  except (flags.Error, errors.UserError) as e:
    fail(str(e))
  several = argument.endswith('...')
  if argument and (len(rest) < 2 if several else len(rest) != 2):
    fail(f'{len(rest) - 1} arguments; expected {argument} and --flags')
  if not argument and len(rest) > 1:
    fail(f'unexpected argument {rest[1]!r}; expected only --flags')
  return rest


def _finish_paths(values):
  """Expands '~' in all values, as shells do only where a word begins.

  Raises:
    UserError: a path is ''.
  """
  for name in values:
    flag = values[name]
    if name in _NEVER_EMPTY and flag.value == '':
      raise errors.UserError(f'--{name} is empty; expected a path')
    if isinstance(flag.value, str):
      flag.value = _expand(flag.value)
    elif isinstance(flag.value, list):
      flag.value = [_expand(x) if isinstance(x, str) else x for x in flag.value]


def _expand(text):
  return os.path.expanduser(text) if text.startswith('~/') else text


def read_config(
  name: str, overrides: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """Returns the complete, locked config that a command would use.

  `name` is a value of --config; overrides are '--config.field=value', and the
  last one for a field counts.

  Raises:
    UserError: a file, argument or field is unknown, or a value has the wrong
      type.
  """
  config, rest = _override(config_files.read(name), overrides)
  if rest:
    raise errors.UserError(f'{rest[0]!r}; expected --config.field=value')
  return config


def _read_config_flag(argv):
  """Sets the flag to the config, and returns the remaining arguments."""
  values = flags.FlagValues()
  default = flags.FLAGS['config'].default
  flags.DEFINE_string('config', default, '', flag_values=values)
  argv = values(list(argv), known_only=True)
  if values.config is None:
    return argv
  name = _expand(values.config)
  config, argv = _override(config_files.read(name), argv)
  flags.FLAGS['config'].value = config
  return argv


def _override(config, argv):
  """Sets fields of a config; returns it, and the remaining arguments."""
  config.lock()
  fields = _flatten(config.to_dict())
  rest, overrides, words = [], {}, iter(argv)
  for word in words:
    match = _OVERRIDE.fullmatch(word)
    if not match:
      rest.append(word)
      continue
    _, field, value = match.groups()
    if field not in fields:
      expected = ', '.join(_alternatives(field, fields))
      raise errors.UserError(
        f'unknown field config.{field}; expected one of {expected}'
      )
    if value is None and not isinstance(fields[field], bool):
      word = f'{word}={next(words, "")}'
    if field in _PATHS:
      name, _, text = word.partition('=')
      word = f'{name}={_expand(text)}'
    # The order matters if one field is a group of others.
    overrides.pop(field, None)
    overrides[field] = word
  before = {field: config.get(field) for field in ('classes', 'initial')}
  height = _target_height(config)
  given, values = ['', *overrides.values()], flags.FlagValues()
  try:
    config_flags.DEFINE_config_dict(
      'config', config, flag_values=values, sys_argv=given
    )
    values(given)
  except (flags.Error, TypeError, ValueError) as e:
    raise errors.UserError(str(e)) from e
  _check_features(config, before, overrides)
  if not {'mixing', 'mixing.margins'} & overrides.keys():
    _scale_margins(config, height)
  return config, rest


def _target_height(config):
  """Returns the height of the target's images in pixels; 0 if there is none."""
  return config.get('data', {}).get('target', {}).get('size', (0, 0))[0]


def _scale_margins(config, before):
  """Keeps margins in proportion to the target's height, which was `before`."""
  margins, now = config.get('mixing', {}).get('margins'), _target_height(config)
  if margins and before and now != before:
    config.mixing.margins = tuple(round(x * now / before) for x in margins)


def _check_features(config, before, given):
  """Checks what a config has derived from fields that were then overridden.

  Args:
    config: the config, with the overrides.
    before: classes and initial weights that it had before.
    given: names of the overridden fields.

  Raises:
    UserError: the feature distance would be of the classes of another set, or
      left out although it was only so because there were no features to keep.
  """
  features = config.get('features')
  if not features or not features.classes:
    return
  if features.weight:
    if config.classes != before['classes'] and 'features.classes' not in given:
      raise errors.UserError(
        f'config.features.classes={features.classes} are the things of'
        f' {before["classes"]}, not of {config.classes}; expected'
        ' --config.features.classes=(number, ...) of classes that are things,'
        ' or --config.features.weight=0'
      )
  elif (
    config.initial not in (before['initial'], '', 'scratch')
    and 'features.weight' not in given
  ):
    raise errors.UserError(
      f'config.initial={config.initial} has features that training can keep,'
      f' unlike {before["initial"]!r}, for which config.features.weight is 0;'
      ' expected --config.features.weight=0.005, as in DAFormer, or'
      ' --config.features.weight=0 not to keep them'
    )


def _alternatives(field, fields):
  """Returns the fields most similar to a misspelt one, or all in its group."""
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


def _flatten(tree, prefix=''):
  """Returns dotted name -> value for all groups and fields."""
  found = {}
  for name, value in tree.items():
    found[prefix + name] = value
    if isinstance(value, dict):
      found.update(_flatten(value, f'{prefix}{name}.'))
  return found


def define_views() -> None:
  """Defines the flags that choose the views of each picture."""
  flags.DEFINE_bool('flip', False, 'Also predict the mirrored image.')
  flags.DEFINE_list(
    'scales',
    ['1'],
    'Factors by which the network input is rescaled, e.g. 0.75,1,1.25.',
  )
  flags.DEFINE_bool(
    'window', False, 'Predict overlapping windows at full resolution.'
  )


def define_data(side: str = 'target') -> None:
  """Defines the flags that locate the data of a run."""
  flags.DEFINE_string('data_dir', None, 'Folder of the prepared TFDS datasets.')
  flags.DEFINE_string(
    'manual_dir', None, f'Folder with the downloaded {side} dataset.'
  )


def define_network() -> None:
  """Defines the flags that describe the content of a file of weights."""
  flags.DEFINE_string(
    'network',
    '',
    'Network in a file of weights: student, teacher, disc or the name of an'
    ' entry.',
  )
  flags.DEFINE_string(
    'family',
    '',
    'Family of a file of weights, if its keys do not tell: init, dacs,'
    ' torchvision, advent, adaptsegnet or depth_anything_v1, _v2, _v2_indoor,'
    ' _v2_outdoor.',
  )


def define_checkpoint(default: str = 'last') -> None:
  """Defines the flag that chooses a checkpoint of a run."""
  flags.DEFINE_string(
    'checkpoint',
    default,
    'Checkpoint of the run: last, best (by the main mIoU) or a step.',
  )
