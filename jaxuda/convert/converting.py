"""Reads weights from any source, and writes networks to any target."""

from collections.abc import Mapping
import os
import pathlib

from jaxuda import errors
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import runs
from jaxuda.weights import state_dict
from jaxuda.weights import writing


def check_place(source: str | os.PathLike, to: str | os.PathLike) -> None:
  """Checks that what is written replaces neither the source nor a run.

  Args:
    source: path of the file or folder to convert.
    to: path to write to, which need not exist yet.

  Raises:
    UserError: it is the source, which may hold more than is converted; or the
      folder of a run, which would be taken for a conversion from then on.
  """
  if all(map(os.path.exists, (source, to))) and os.path.samefile(source, to):
    raise errors.UserError(f'{to} is the input; expected another --to')
  path = pathlib.Path(to)
  if (path / 'config.json').is_file() and (path / 'checkpoints').is_dir():
    raise errors.UserError(
      f'{to} is the folder of a run, which would be taken for a conversion;'
      ' expected another --to'
    )


def read(
  source: str,
  *,
  network: str = '',
  family: str = '',
  partial: bool = False,
  checkpoint: str = 'last',
) -> conversion.Network:
  """Reads a file, a conversion's folder or a run.

  Args:
    source: path of the file or folder.
    network: network of the source: 'student', 'teacher', 'disc' or an entry of
      the file; '' for the only one of a file, and for a run's student.
    family: the kind of a file if its keys do not tell, see
      `families.recognise`.
    partial: take what fits from a file.
    checkpoint: checkpoint of a run: 'last', 'best' or a step.

  Raises:
    UserError: the source is none of the three, or does not fit; or a checkpoint
      of a file is chosen, or an option of files is given for a run.
  """
  path = pathlib.Path(source)
  if path.is_file() or converted.is_stored(path):
    runs.check_no_checkpoint(checkpoint)
    return converted.read(path, network=network, family=family, partial=partial)
  if (path / 'config.json').is_file():
    for flag, given in (('family', family), ('partial', partial)):
      if given:
        raise errors.UserError(
          f'--{flag}={given} applies to files of weights; expected one, not a'
          ' run'
        )
    return runs.read(path, which=checkpoint, network=network or 'student')
  raise errors.UserError(
    f'{source} is not a file of weights, a conversion or a run; expected one'
  )


def write(
  networks: Mapping[str, conversion.Network], to: str
) -> list[conversion.Network]:
  """Writes networks of one source; several can only go to a file.

  Args:
    networks: 'student' (or another) first, and perhaps 'teacher'.
    to: a folder, or a path with one of `writing.SUFFIXES`.

  Returns:
    The networks that were written.
  """
  first, *_ = networks.values()
  if pathlib.Path(to).suffix not in writing.SUFFIXES:
    converted.write(to, first)
    return [first]
  writing.write(to, state_dict.wrap(networks))
  return list(networks.values())
