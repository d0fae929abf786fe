"""Finds config files, runs them, and adds the defaults."""

from collections.abc import Iterator
import contextlib
import importlib.util
import pathlib
import sys
import traceback
import types

import ml_collections

from jaxuda import errors

# In a wheel the configs are in the package, in the repository next to it.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_INSIDE = (_PACKAGE / 'configs').is_dir()
_SHIPPED = (_PACKAGE if _INSIDE else _PACKAGE.parent) / 'configs'


def find(name: str) -> pathlib.Path:
  """Returns the file of a config.

  Args:
    name: a path that ends in .py; or 'dada', 'dada.py' or 'configs/dada.py' for
      a file of this project. 'tables.py' also stands for tables/__init__.py.

  Raises:
    UserError: the file does not exist; the message lists those that do.
  """
  path = pathlib.Path(name)
  places = []
  if path.suffix == '.py':
    places.append(path)
  if path.suffix in ('', '.py') and str(path.parent) in ('.', 'configs'):
    places.append(_SHIPPED / f'{path.stem}.py')
  for place in places:
    for file in (place, place.with_suffix('') / '__init__.py'):
      if file.is_file():
        return file
  beside = _list(path.parent) if path.suffix == '.py' else []
  names = [str(x) for x in beside] or [x.stem for x in _list(_SHIPPED)]
  raise errors.UserError(
    f'no config {name}; expected '
    + ('' if beside else 'FILE.py, or ')
    + f'one of {", ".join(names)}'
  )


def load(path: pathlib.Path) -> types.ModuleType:
  """Runs a config file and returns its module.

  In it, the package `configs` consists of this project's files and those next
  to it, wherever it is located and even if another package has that name.
  """
  with _importable(path.parent):
    # Not under its own name: it may import the project's file of that name.
    spec = importlib.util.spec_from_file_location('configs.__main__', path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
  return module


def read(name: str) -> ml_collections.ConfigDict:
  """Returns a config with all defaults, unlocked.

  Args:
    name: name of a file, see `find`; the arguments of its `get_config` may
      follow after a colon.

  Raises:
    UserError: the file does not exist or has no `get_config`, or `get_config`
      returns no config, rejects an argument with a ValueError, or sets a field
      that its config does not have or a value of another type.
  """
  name, *arguments = name.split(':', 1)
  path = find(name)
  module = load(path)
  if 'get_config' not in vars(module):
    raise errors.UserError(f'{path} has no get_config; expected a config')
  try:
    config = module.get_config(*arguments)
  except ValueError as e:
    raise errors.UserError(str(e)) from e
  except (AttributeError, KeyError, TypeError) as e:
    mistake = _describe(e)
    if not mistake:
      raise
    raise errors.UserError(mistake) from e
  if not isinstance(config, ml_collections.ConfigDict):
    raise errors.UserError(
      f'get_config of {path} returns {config!r:.40}; expected a ConfigDict,'
      ' such as that of common.base'
    )
  # This loads JAX, which some commands never need.
  from jaxuda import methods

  config.unlock()
  if config.get('name') in methods.names():
    defaults = methods.defaults(config.name)
    _drop_groups(config, set(methods.GROUPS) - set(defaults))
    for group, fields in defaults.items():
      whole = ml_collections.ConfigDict(fields)
      own = dict(config.get(group, {}))
      for name, value in own.items():
        # Fields that may be 'auto' may also be given as True or False.
        if isinstance(value, bool) and fields.get(name) == 'auto':
          own[name] = 'on' if value else 'off'
      try:
        whole.update(own)
      except TypeError as e:
        raise errors.UserError(f'config.{group} of {path}: {e}') from e
      config[group] = whole
  return config


def _describe(error):
  """Says where a config was refused what; '' if other code has failed."""
  *calls, last = traceback.extract_tb(error.__traceback__)
  library = last.filename
  if not calls or library != ml_collections.config_dict.config_dict.__file__:
    return ''
  line = [x for x in calls if x.filename != library][-1]
  while error.args and isinstance(error.args[0], Exception):
    error = error.args[0]
  what, _, _ = str(*error.args[:1]).partition(' Other fields present')
  return f'{line.filename}, line {line.lineno}: {what}'


def _drop_groups(config, others):
  """Removes the groups of options of other methods, in place.

  Raises:
    UserError: one of them is not empty.
  """
  for group in sorted(others & set(config)):
    if config[group]:
      raise errors.UserError(
        f'config.{group} has {", ".join(config[group])}; expected no such'
        f' fields with {config.name}, which does not use them'
      )
    del config[group]


def _list(folder):
  files = sorted(folder.glob('*.py'))
  return [path for path in files if 'def get_config' in path.read_text()]


@contextlib.contextmanager
def _importable(folder: pathlib.Path) -> Iterator[None]:
  """A context in which the package `configs` is this project's folder.

  Modules that it lacks are looked for in a second folder.
  """

  def take():
    names = [x for x in sys.modules if x.partition('.')[0] == 'configs']
    return {name: sys.modules.pop(name) for name in names}

  others = take()
  sys.modules['configs'] = types.ModuleType('configs')
  sys.modules['configs'].__path__ = [str(_SHIPPED), str(folder.resolve())]
  try:
    yield
  finally:
    take()
    sys.modules.update(others)
