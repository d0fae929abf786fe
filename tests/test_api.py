"""One shape for every public function: f(key, x, *, option=...)."""

import dataclasses
import importlib
import inspect
import pathlib

import pytest

from jaxuda import methods

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / 'jaxuda'
ROOMS = (
  *('losses', 'evaluate.metrics', 'models', 'ops'),
  *('step.optim', 'step.rng', 'step.state'),
)


def _public_functions():
  """Yields the public functions that the modules of ROOMS define."""
  for room in ROOMS:
    folder = PACKAGE.joinpath(*room.split('.'))
    stems = [p.stem for p in sorted(folder.glob('[!_]*.py'))]
    for name in [f'{room}.{stem}' for stem in stems] or [room]:
      module = importlib.import_module(f'jaxuda.{name}')
      for attribute, value in vars(module).items():
        if attribute.startswith('_') or not inspect.isfunction(value):
          continue
        if inspect.unwrap(value).__module__ == module.__name__:
          yield pytest.param(value, id=f'{name}.{attribute}')


FUNCTIONS = list(_public_functions())


def test_finds_functions():
  assert len(FUNCTIONS) > 20


@pytest.mark.parametrize('function', FUNCTIONS)
def test_key_comes_first(function):
  names = list(inspect.signature(function).parameters)
  assert 'key' not in names[1:]


@pytest.mark.parametrize('function', FUNCTIONS)
def test_options_are_keyword_only(function):
  for parameter in inspect.signature(function).parameters.values():
    if parameter.default is not parameter.empty:
      assert parameter.kind == parameter.KEYWORD_ONLY, parameter.name


@pytest.mark.parametrize('function', FUNCTIONS)
def test_everything_is_annotated(function):
  signature = inspect.signature(function)
  assert signature.return_annotation is not signature.empty
  for parameter in signature.parameters.values():
    assert parameter.annotation is not parameter.empty, parameter.name


@pytest.mark.parametrize('function', FUNCTIONS)
def test_has_a_docstring(function):
  assert inspect.getdoc(function)


@pytest.mark.parametrize('name', methods.names())
def test_methods_are_frozen_keyword_only_dataclasses(name):
  method = importlib.import_module(f'jaxuda.methods.{name}').Method
  assert dataclasses.is_dataclass(method)
  assert method.__dataclass_params__.frozen
  assert all(field.kw_only for field in dataclasses.fields(method))
