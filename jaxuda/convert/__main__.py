r"""Converts other frameworks' weights to ours and back, without TF or PyTorch.

    python -m jaxuda.convert FILE --to=DIR [--partial] \
        [--network=student|teacher|disc|NAME] [--family=...]
    python -m jaxuda.convert RUN --to=FILE.pth [--checkpoint=last|best|STEP]

FILE is a .pth (zip or legacy) or .safetensors of ImageNet or COCO weights
(ResNet, VGG-16, EfficientNet-Lite0, MiT), of DADA, ADVENT, Depth Distribution,
CTRL (its backbone), DACS, CorDA, DAFormer, HRDA, MIC, VFM-UDA, a discriminator
or a CycleGAN generator, or DINOv2 or Depth Anything as on the Hugging Face hub;
its keys tell which (Depth Anything's do not tell whether it is V1 or V2,
relative or metric: the config.json next to it does, or
--family=depth_anything_v1, _v2, _v2_indoor or _v2_outdoor). RUN is the folder
of a run, or one of an earlier conversion. FILE.pth or FILE.safetensors has the
official names, in which all of these can be written except MiT, DAFormer, HRDA,
MIC, VFM-UDA and runs on their backbones: these can only be read. A ResNet-101
or 50 that is built otherwise than the published one is refused, too, as it
would be read as that one, and so is a ResNet without running statistics. DIR
can be given wherever a file of weights can: --config.initial=DIR, evaluate
--weights=DIR. Otherwise --family is init, dacs, torchvision, advent or
adaptsegnet. Every key and every entry is accounted for; a key that does not fit
is an error without --partial, and so are two networks without --network.
"""

import pathlib

from absl import flags

from jaxuda.convert import converting
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.weights import conversion
from jaxuda.weights import writing


def define_flags() -> None:
  """Defines the flags of the command."""
  flags.DEFINE_string(
    *('to', None, 'Folder, FILE.pth or FILE.safetensors to write.'),
    required=True,
  )
  flags.DEFINE_bool('partial', False, 'Take what fits instead of failing.')
  command.define_network()
  command.define_checkpoint()


def main(source: str) -> None:
  """Converts, and prints what became of every key."""
  f = flags.FLAGS
  to = pathlib.Path(f.to)
  if to.suffix:
    writing.check_path(to)
  converting.check_place(source, to)
  options = dict(family=f.family, partial=f.partial, checkpoint=f.checkpoint)
  networks = {f.network: converting.read(source, network=f.network, **options)}
  config = pathlib.Path(source) / 'config.json'
  if to.suffix and f.network in ('', 'student') and config.is_file():
    if workdir_lib.read_config(source).name in ('dacs', 'corda'):
      networks['teacher'] = converting.read(
        source, network='teacher', **options
      )
  for network in converting.write(networks, f.to):
    record = network.record
    print(f'{record["file"]}: {record["title"]}')
    for row in network.report:
      print('  ' + conversion.describe(row))
    asked = ', '.join(f'{k}={v}' for k, v in record['network'].items())
    if asked:
      print(f'  asks for {asked}')
    if record['of'] == 'teacher':
      print(
        '  note: the official teachers hold running statistics of the target'
        ' alone, which are not averaged; published numbers are of the student'
      )
  print(f'wrote {f.to}')


if __name__ == '__main__':
  define_flags()
  command.run(main, argument='FILE or RUN')
