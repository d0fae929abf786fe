"""Config files: where they are, and what they hold with all defaults."""

from collections.abc import Iterator
import contextlib
import importlib.util
import pathlib
import sys
import types

import ml_collections

from jaxuda import errors

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def find(name: str) -> pathlib.Path:
  """Returns the file of a config.

  Args:
    name: a path that ends in .py; or 'dada', 'dada.py' or 'configs/dada.py' for
      a file of this project.

  Raises:
    UserError: there is no such file; the message names those that there are.
  """
  path = pathlib.Path(name)
  if path.suffix == '.py' and path.is_file():
    return path
  shipped = _shipped() / f'{path.stem}.py'
  inside = str(path.parent) in ('.', 'configs') and path.suffix in ('', '.py')
  if inside and shipped.is_file():
    return shipped
  beside = _list(path.parent) if path.suffix == '.py' else []
  names = [str(x) for x in beside] or [x.stem for x in _list(_shipped())]
  raise errors.UserError(
    f'no config file {name}; expected '
    + ('' if beside else 'configs/<method>.py, or ')
    + f'one of {", ".join(names)}'
  )


def load(path: pathlib.Path) -> types.ModuleType:
  """Runs a config file.

  Whatever folder it lies in, and whatever other packages of that name there
  are, it imports from `configs` what is shipped with this project, and then
  what lies beside it.
  """
  with _importable(path.parent):
    spec = importlib.util.spec_from_file_location(f'configs.{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for their module there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
  return module


def read(name: str) -> ml_collections.ConfigDict:
  """Returns a config with all defaults, unlocked.

  Args:
    name: of a file, see `find`, and after a colon what `get_config` is called
      with.

  Raises:
    UserError: no such file, or an argument that its `get_config` refuses with
      a ValueError.
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
  _complete(config)
  return config


def _complete(config):
  """Adds the fields of the method's classes that a config does not name."""
  # It loads JAX, which most commands need later or never.
  from jaxuda import methods

  if config.get('name') not in methods.names():
    return
  for group, fields in methods.defaults(config.name).items():
    whole = ml_collections.ConfigDict(fields)
    whole.update(config.get(group, {}))
    config[group] = whole


def _shipped():
  """The folder of this project's configs: in a wheel, or beside the package."""
  inside = _PACKAGE / 'configs'
  return inside if inside.is_dir() else _PACKAGE.parent / 'configs'


def _list(folder):
  files = sorted(folder.glob('*.py'))
  return [path for path in files if 'def get_config' in path.read_text()]


@contextlib.contextmanager
def _importable(folder: pathlib.Path) -> Iterator[None]:
  """A context in which `configs` is this project's, and a folder's."""

  def take():
    names = [x for x in sys.modules if x.partition('.')[0] == 'configs']
    return {name: sys.modules.pop(name) for name in names}

  others = take()
  sys.modules['configs'] = types.ModuleType('configs')
  sys.modules['configs'].__path__ = [str(_shipped()), str(folder.resolve())]
  try:
    yield
  finally:
    take()
    sys.modules.update(others)
