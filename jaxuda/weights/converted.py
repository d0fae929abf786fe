"""The folder that a conversion writes: one network in our layout.

weights.json         its origin, what it asks for, what became of each key
weights.safetensors  'params/backbone/conv1/kernel' -> array
"""

import json
import os
import pathlib

import safetensors
from safetensors import numpy as safetensors_numpy

from jaxuda import errors
from jaxuda.ui import files
from jaxuda.weights import conversion
from jaxuda.weights import reading
from jaxuda.weights import writing

_RECORD, _ARRAYS = 'weights.json', 'weights.safetensors'


def is_stored(path: str | os.PathLike) -> bool:
  """Returns whether a folder is that of a conversion."""
  return (pathlib.Path(path) / _RECORD).is_file()


def write(folder: str | os.PathLike, network: conversion.Network) -> None:
  """Writes a network; what was in the folder before is replaced.

  Raises:
    UserError: there is a file of that name, or the disk is full, which leaves
      what was in the folder before.
  """
  folder = files.check_folder(folder)
  rows = [conversion.describe(row, shown=1000) for row in network.report]
  record = {**network.record, 'report': rows}
  # The record comes last: it makes the folder a conversion.
  with files.atomic(folder / _RECORD) as described:
    described.write_text(json.dumps(record, indent=2) + '\n')
    with files.atomic(folder / _ARRAYS) as stored:
      stored.write_bytes(writing.encode_arrays(network.arrays))
      # Both are written: an earlier record is never beside these arrays.
      (folder / _RECORD).unlink(missing_ok=True)


def read(
  path: str | os.PathLike,
  *,
  network: str = '',
  family: str = '',
  whole: bool = False,
  partial: bool = False,
) -> conversion.Network:
  """Reads a conversion's folder, or a foreign file by converting it.

  Args:
    path: a folder from `write`, or a file for `reading.read`.
    network: network of a file, see `reading.File.entry`; a folder has one.
    family: see `families.recognise`; for a file only.
    whole: see `families.recognise`; for a file only.
    partial: take what fits; for a file only.

  Raises:
    UserError: it is neither of the two, is damaged, or has another network.
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    return conversion.convert(
      reading.read(path),
      network=network,
      family=family,
      whole=whole,
      partial=partial,
    )
  if not is_stored(path):
    raise errors.UserError(
      f'no {_RECORD} in {path}; expected the folder of a conversion'
      ' (python -m jaxuda.convert) or a file of weights'
    )
  try:
    record = json.loads((path / _RECORD).read_text())
    arrays = safetensors_numpy.load_file(path / _ARRAYS)
    known = {key: record[key] for key in ('of', 'family')}
  except (
    *(ValueError, KeyError, TypeError, OSError),
    safetensors.SafetensorError,
  ) as e:
    raise errors.UserError(f'{path} is damaged ({e}); convert again') from e
  for flag, given, there in (
    ('network', network, known['of']),
    ('family', family, known['family']),
  ):
    if given not in ('', there):
      raise errors.UserError(
        f'{path} is a conversion of --{flag}={there}; expected no other, or the'
        f' original file with --{flag}={given}'
      )
  return conversion.Network(arrays=arrays, record=record)
