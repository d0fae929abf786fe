"""Published checkpoints in miniature, with the official names spelt out.

Independent of the package: names and shapes of the official code, with a
backbone of one bottleneck per stage ('resnet_tiny') in place of ResNet-101.
"""

from collections import OrderedDict
import pickle
import sys
import types
import zipfile
import zlib

import numpy as np

FULL = {'blocks': (3, 4, 23, 3), 'planes': (64, 128, 256, 512), 'stem': 64}
TINY = {'blocks': (1, 1, 1, 1), 'planes': (4, 4, 4, 4), 'stem': 8}


def _norm(name, width, batches=True):
  leaves = ('weight', 'bias', 'running_mean', 'running_var')
  shapes = {f'{name}.{leaf}': (width,) for leaf in leaves}
  return shapes | ({f'{name}.num_batches_tracked': ()} if batches else {})


def _block(name, inside, planes, project, batches=True, expansion=4):
  out = expansion * planes
  shapes = {
    f'{name}.conv1.weight': (planes, inside, 1, 1),
    f'{name}.conv2.weight': (planes, planes, 3, 3),
    f'{name}.conv3.weight': (out, planes, 1, 1),
  }
  for index, width in ((1, planes), (2, planes), (3, out)):
    shapes |= _norm(f'{name}.bn{index}', width, batches)
  if project:
    shapes[f'{name}.downsample.0.weight'] = (out, inside, 1, 1)
    shapes |= _norm(f'{name}.downsample.1', out, batches)
  return shapes


def resnet(size=TINY, batches=True):
  stem = size['stem']
  shapes = {'conv1.weight': (stem, 3, 7, 7)} | _norm('bn1', stem, batches)
  inside = stem
  for stage, planes in enumerate(size['planes'], 1):
    for index in range(size['blocks'][stage - 1]):
      name = f'layer{stage}.{index}'
      shapes |= _block(name, inside, planes, index == 0, batches)
      inside = 4 * planes
  return shapes


def aspp(name, inside, classes):
  shapes = {}
  for i in range(4):
    shapes[f'{name}.conv2d_list.{i}.weight'] = (classes, inside, 3, 3)
    shapes[f'{name}.conv2d_list.{i}.bias'] = (classes,)
  return shapes


def _conv(name, inside, out, kernel):
  return {
    f'{name}.weight': (out, inside, kernel, kernel),
    f'{name}.bias': (out,),
  }


def _depth(prefix, wide):
  quarter = wide // 4
  return (
    _conv(f'{prefix}_1', wide, quarter, 1)
    | _conv(f'{prefix}_2', quarter, quarter, 3)
    | _conv(f'{prefix}_3', quarter, wide // 16, 1)
  )


def init(size=TINY):
  wide = 4 * size['planes'][3]
  return resnet(size, batches=False) | aspp('layer5', wide, 21)


def torchvision(size=TINY):
  wide = 4 * size['planes'][3]
  return resnet(size) | {'fc.weight': (1000, wide), 'fc.bias': (1000,)}


def advent(size=TINY, classes=19, multi_level=True):
  third, wide = 4 * size['planes'][2], 4 * size['planes'][3]
  aux = aspp('layer5', third, classes) if multi_level else {}
  return resnet(size) | aux | aspp('layer6', wide, classes)


def dada(size=TINY, classes=16):
  wide = 4 * size['planes'][3]
  return (
    resnet(size)
    | aspp('layer6', wide, classes)
    | _depth('enc4', wide)
    | _conv('dec4', wide // 16, wide, 1)
  )


def depdis(size=TINY, classes=16):
  wide = 4 * size['planes'][3]
  unused = _conv('enc4_4', wide // 16, 16, 1)
  return dada(size, classes) | _depth('enc5', wide) | unused


def ctrl(size=TINY, classes=16):
  wide = 4 * size['planes'][3]
  shapes = {f'backbone.{k}': v for k, v in resnet(size).items()}
  shapes |= {
    f'decoder.{k.replace("enc4_", "dec")}': v
    for k, v in _depth('enc4', wide).items()
  }
  shapes |= _conv('decoder.dec4', wide // 16, wide, 1)
  for name, inside, out in (
    ('head_seg', wide, classes),
    ('head_srh', wide, classes),
    ('head_dep', wide // 16, 1),
  ):
    shapes |= aspp(f'{name}.layer6', inside, out)
  return shapes


def dacs(size=TINY, classes=19):
  return resnet(size) | aspp('layer5', 4 * size['planes'][3], classes)


def corda(size=TINY, classes=19, variant='synthia', width=16):
  wide = 4 * size['planes'][3]
  shapes = resnet(size)
  if variant == 'multitask':
    return shapes | aspp('heads.S', wide, classes) | aspp('heads.D', wide, 1)
  initial = 'initial_task_prediction_heads'
  for task in 'SD':
    name = f'{initial}.layers.{task}'
    shapes |= _block(f'{name}.0', wide, width // 4, True)
    shapes |= _block(f'{name}.1', width, width // 4, False)
  shapes |= aspp('heads.S', width, classes) | aspp('heads.D', width, 1)
  if variant == 'noatt':
    return shapes
  name = f'{initial}.conv_out'
  if variant == 'gta':
    shapes |= aspp(f'{name}.S', wide, classes)
  else:
    shapes |= _conv(f'{name}.S', width, classes, 1)
  for task in ('D', 'D_src'):
    shapes |= _conv(f'{name}.{task}', width, 1, 1)
  for pair in ('S.D', 'D.S'):
    name = f'multi_modal_distillation.self_attention.{pair}'
    shapes[f'{name}.attention.0.weight'] = (width, width, 3, 3)
    shapes[f'{name}.conv.weight'] = (width, width, 3, 3)
  return shapes | aspp('heads.D_src', width, 1)


def discriminator(channels=16, width=4):
  widths = [channels, width, 2 * width, 4 * width, 8 * width, 1]
  shapes = {}
  for i in range(5):
    shapes |= _conv(str(2 * i), widths[i], widths[i + 1], 4)
  return shapes


def cyclegan(channels=3, width=4, blocks=9):
  shapes = _conv('model.1', channels, width, 7)
  shapes |= _conv('model.4', width, 2 * width, 3)
  shapes |= _conv('model.7', 2 * width, 4 * width, 3)
  for i in range(10, 10 + blocks):
    for j in (1, 5):
      shapes |= _conv(f'model.{i}.conv_block.{j}', 4 * width, 4 * width, 3)
  for i, inside in ((10 + blocks, 4 * width), (13 + blocks, 2 * width)):
    # Transposed: input channels first.
    shapes[f'model.{i}.weight'] = (inside, inside // 2, 3, 3)
    shapes[f'model.{i}.bias'] = (inside // 2,)
  return shapes | _conv(f'model.{17 + blocks}', width, 3, 7)


def vgg16(places=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)):
  widths = [64, 64, 128, 128, 256, 256, 256, *[512] * 6]
  shapes, inside = {}, 3
  for place, width in zip(places, widths, strict=True):
    shapes |= _conv(f'features.{place}', inside, width, 3)
    inside = width
  return shapes


def torchvision_vgg16():
  """Returns VGG-16 without fc6, whose 400 MB are never read."""
  return vgg16() | {
    'classifier.6.weight': (10, 4096),
    'classifier.6.bias': (10,),
  }


def adaptsegnet_vgg(classes=19):
  places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 23, 25, 27)
  shapes = vgg16(places)
  shapes |= _conv('features.29', 512, 1024, 3)
  shapes |= _conv('features.31', 1024, 1024, 3)
  return shapes | aspp('classifier', 1024, classes)


def efficientnet(stem=4, widths=(4, 8, 12, 12, 16), kernels=(3, 5, 3, 3, 3)):
  """Returns 'efficientnet_tiny' by default, with a wider second block."""
  shapes = {'_conv_stem.weight': (stem, 3, 3, 3)} | _norm('_bn0', stem)
  inside = stem
  for i, (out, side) in enumerate(zip(widths, kernels, strict=True)):
    name, wide = f'_blocks.{i}', inside
    if i == 1:
      wide = 2 * inside
      shapes[f'{name}._expand_conv.weight'] = (wide, inside, 1, 1)
      shapes |= _norm(f'{name}._bn0', wide)
    shapes[f'{name}._depthwise_conv.weight'] = (wide, 1, side, side)
    shapes |= _norm(f'{name}._bn1', wide)
    shapes[f'{name}._project_conv.weight'] = (out, wide, 1, 1)
    shapes |= _norm(f'{name}._bn2', out)
    inside = out
  shapes['_conv_head.weight'] = (32, inside, 1, 1)
  shapes |= _norm('_bn1', 32)
  return shapes | {'_fc.weight': (1000, 32), '_fc.bias': (1000,)}


def fill(shapes, salt=0):
  """Returns arrays that are functions of their names; outputs of order one."""
  arrays = OrderedDict()
  for name, shape in shapes.items():
    rng = np.random.RandomState((zlib.crc32(name.encode()) + salt) & 0xFFFFFFFF)
    x = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 4:
      x = (x - 1) * np.float32(np.sqrt(12 / np.prod(shape[1:])))
    arrays[name] = np.array(3) if name.endswith('tracked') else x
  return arrays


class _Storage:
  def __init__(self, array, key):
    self.array, self.key = array, key


def _torch():
  """Fakes modules with the names in PyTorch's pickles."""
  torch = types.ModuleType('torch')
  inner = types.ModuleType('torch._utils')
  for name in ('FloatStorage', 'LongStorage'):
    setattr(torch, name, type(name, (), {'__module__': 'torch'}))

  def _rebuild_tensor_v2(*args):
    raise NotImplementedError

  _rebuild_tensor_v2.__module__ = 'torch._utils'
  _rebuild_tensor_v2.__qualname__ = '_rebuild_tensor_v2'
  inner._rebuild_tensor_v2 = _rebuild_tensor_v2
  return torch, inner


class _Tensor:
  def __init__(self, array, key, rebuild):
    self.parts = array, key, rebuild

  def __reduce__(self):
    array, key, rebuild = self.parts
    strides = tuple(s // array.itemsize for s in array.strides)
    storage = _Storage(array, key)
    return rebuild, (storage, 0, array.shape, strides, False, OrderedDict())


def save(tree, path, kind):
  """Writes nested dicts of arrays like PyTorch, 'zip' or 'legacy'."""
  torch, inner = _torch()
  storages = []

  def wrap(x):
    if isinstance(x, dict):
      return type(x)((k, wrap(v)) for k, v in x.items())
    if isinstance(x, np.ndarray | np.generic):
      storages.append(np.ascontiguousarray(x))
      x = np.asarray(x)
      return _Tensor(x, str(len(storages) - 1), inner._rebuild_tensor_v2)
    return x

  class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
      if not isinstance(obj, _Storage):
        return None
      kind_of = {'f': torch.FloatStorage, 'i': torch.LongStorage}
      array = obj.array
      head = ('storage', kind_of[array.dtype.kind], obj.key, 'cpu', array.size)
      return head if kind == 'zip' else (*head, None)

  before = {k: sys.modules.get(k) for k in ('torch', 'torch._utils')}
  sys.modules |= {'torch': torch, 'torch._utils': inner}
  try:
    (_save_zip if kind == 'zip' else _save_legacy)(
      path, Pickler, wrap(tree), storages
    )
  finally:
    for name, module in before.items():
      del sys.modules[name]
      if module is not None:
        sys.modules[name] = module


def _save_zip(path, pickler, tree, storages):
  with zipfile.ZipFile(path, 'w') as archive:
    with archive.open('name/data.pkl', 'w') as f:
      pickler(f, protocol=2).dump(tree)
    for i, array in enumerate(storages):
      archive.writestr(f'name/data/{i}', array.tobytes())
    archive.writestr('name/version', '3\n')


def _save_legacy(path, pickler, tree, storages):
  with path.open('wb') as f:
    for head in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}):
      pickle.dump(head, f, protocol=2)
    pickler(f, protocol=2).dump(tree)
    # In an order other than that of the tree.
    keys = [str(i) for i in reversed(range(len(storages)))]
    pickle.dump(keys, f, protocol=2)
    for key in keys:
      array = storages[int(key)]
      f.write(array.size.to_bytes(8, 'little') + array.tobytes())
