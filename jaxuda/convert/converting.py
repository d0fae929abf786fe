r"""Weights of other frameworks in, and ours out. Needs no TF and no PyTorch.

    python -m jaxuda.convert FILE --to=DIR [--network=student|teacher|disc] \
        [--partial] [--family=init|dacs|torchvision]
    python -m jaxuda.convert RUN --to=FILE.pth [--checkpoint=last|best|STEP]

FILE is a .pth (zip or legacy) or .safetensors of ImageNet or COCO weights, of
DADA, ADVENT, Depth Distribution, CTRL (its backbone), DACS, CorDA, a
discriminator or a CycleGAN generator; what it is its keys say. RUN is the
folder of a run, or one of an earlier conversion. DIR goes wherever a file of
weights does: --config.initial=DIR, evaluate --weights=DIR. Every key is
accounted for; one that does not fit is an error without --partial.
"""

import pathlib

from absl import flags

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import names
from jaxuda.weights import reading
from jaxuda.weights import runs
from jaxuda.weights import writing


def read(
  source: str,
  *,
  network: str = 'student',
  family: str = '',
  partial: bool = False,
  checkpoint: str = 'last',
) -> conversion.Network:
  """Reads a file, a conversion's folder or a run.

  Args:
    source: path.
    network: which of its networks.
    family: of a file, see `families.recognise`.
    partial: of a file: take what fits.
    checkpoint: of a run: 'last', 'best' or a step.

  Raises:
    UserError: none of the three, or one that does not fit.
  """
  path = pathlib.Path(source)
  if path.is_file():
    return conversion.convert(
      reading.read(path), network=network, family=family, partial=partial
    )
  if converted.is_stored(path):
    return converted.read(path)
  if (path / 'config.json').is_file():
    return runs.read(path, which=checkpoint, network=network)
  raise errors.UserError(
    f'{source} is no file of weights, no conversion and no run; expected one'
  )


def write(
  networks: dict[str, conversion.Network], to: str
) -> list[conversion.Network]:
  """Writes networks of one source; several only to a file.

  Args:
    networks: 'student' (or another) first, and perhaps 'teacher'.
    to: a folder, or a path with one of `writing.SUFFIXES`.

  Returns:
    What was written.
  """
  first = next(iter(networks.values()))
  if pathlib.Path(to).suffix not in writing.SUFFIXES:
    converted.write(to, first)
    return [first]
  state_dicts = {k: names.to_state_dict(n) for k, n in networks.items()}
  writing.write(to, names.wrap(first.record['family'], state_dicts))
  return list(networks.values())


def _has_teacher(source: str) -> bool:
  path = pathlib.Path(source) / 'config.json'
  if not path.is_file():
    return False
  return workdir_lib.read_config(source).name in ('dacs', 'corda')


def main(source: str) -> None:
  """Runs the command line."""
  f = flags.FLAGS
  to = f.to
  if pathlib.Path(to).suffix:
    writing.check_path(to)
  options = dict(family=f.family, partial=f.partial, checkpoint=f.checkpoint)
  networks = {f.network: read(source, network=f.network, **options)}
  is_file = pathlib.Path(to).suffix in writing.SUFFIXES
  if is_file and f.network == 'student' and _has_teacher(source):
    networks['teacher'] = read(source, network='teacher', **options)
  for network in write(networks, to):
    print(f'{network.record["file"]}: {network.record["title"]}')
    for row in network.report:
      print('  ' + conversion.describe(row))
    asked = network.record['network']
    if asked:
      print('  asks for ' + ', '.join(f'{k}={v}' for k, v in asked.items()))
    if network.record['of'] == 'teacher':
      print(
        '  note: the official teachers hold running statistics of the target'
        ' alone, which are not averaged; published numbers are of the student'
      )
  print(f'wrote {to}')


def define_flags() -> None:
  """Defines the flags of the command."""
  flags.DEFINE_string(
    'to', None, 'Folder, FILE.pth or FILE.safetensors.', required=True
  )
  flags.DEFINE_enum(
    'network', 'student', reading.NETWORKS, 'Which network of the source.'
  )
  flags.DEFINE_bool('partial', False, 'Take what fits.')
  flags.DEFINE_string(
    'family', '', 'init, dacs or torchvision, where the keys do not tell.'
  )
  flags.DEFINE_string(
    'checkpoint', 'last', 'Of a run: last, best (by the main mIoU) or a step.'
  )
