"""Every public function of ops and losses has an example that runs."""

import doctest
import importlib
import inspect
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULES = [
  f'jaxuda.{room}.{path.stem}'
  for room in ('losses', 'ops')
  for path in sorted((ROOT / 'jaxuda' / room).glob('[!_]*.py'))
]


def test_finds_modules():
  assert len(MODULES) > 15


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
  failed, tried = doctest.testmod(importlib.import_module(name))
  assert tried
  assert not failed


@pytest.mark.parametrize('name', MODULES)
def test_every_public_function_has_an_example(name):
  module = importlib.import_module(name)
  for attribute, value in vars(module).items():
    if attribute.startswith('_') or not inspect.isfunction(value):
      continue
    if value.__module__ == name:
      assert '>>>' in inspect.getdoc(value), attribute
