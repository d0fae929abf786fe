"""Every published file, in miniature, in both of PyTorch's formats."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import pretrained
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import families
from jaxuda.weights import reading
from jaxuda.weights import state_dict
from jaxuda.weights import writing
from tests.weights import official

CORDA = ('synthia', 'gta', 'multitask', 'noatt')
# name -> (shapes, wrapper, family, dropped keys except num_batches_tracked).
FILES = {
  'init': (official.init(), '', 'init', 8),
  'torchvision': (official.torchvision(), '', 'torchvision', 2),
  'advent': (official.advent(), '', 'advent', 0),
  'advent_single': (official.advent(multi_level=False), '', 'advent', 0),
  'dada': (official.dada(), '', 'dada', 0),
  'depdis': (official.depdis(), 'model', 'depdis', 4),
  'ctrl': (official.ctrl(), 'model_state_dict', 'ctrl', 32),
  'dacs': (official.dacs(), 'model', 'dacs', 0),
  'discriminator': (official.discriminator(), '', 'discriminator', 0),
  'cyclegan': (official.cyclegan(), '', 'cyclegan', 0),
  'efficientnet': (official.efficientnet(), '', 'efficientnet', 7),
  **{
    f'corda_{v}': (official.corda(variant=v), 'model', 'corda', 0)
    for v in CORDA
  },
}


def save(path, kind, arrays, wrapper):
  tree = {wrapper: arrays, 'iteration': 7} if wrapper else arrays
  if kind == 'safetensors':
    writing.write(path, {'': arrays})
  else:
    official.save(tree, path, kind)
  return path


@pytest.mark.parametrize('kind', ['zip', 'legacy'])
@pytest.mark.parametrize('name', FILES)
def test_there_and_back(tmp_path, name, kind):
  shapes, wrapper, family, dropped = FILES[name]
  arrays = official.fill(shapes)
  prefix = {'init': 'Scale.', 'dada': 'module.', 'corda_gta': 'module.'}
  prefix = prefix.get(name, '')
  there = {prefix + k: v for k, v in arrays.items()}
  path = save(tmp_path / 'a.pth', kind, type(arrays)(there), wrapper)
  network = conversion.convert(reading.read(path))
  assert network.record['family'] == family
  batches = [k for k in arrays if k.endswith('num_batches_tracked')]
  assert len(network.arrays) == len(arrays) - len(batches) - dropped
  status = {row.status for row in network.report}
  assert status <= {'matched', 'dropped', 'other', 'guessed', 'random'}
  counted = sum(
    len(r.keys) for r in network.report if 'entries of' not in r.note
  )
  assert counted == len(arrays)
  # Through the folder, and back under the official names.
  converted.write(tmp_path / 'dir', network)
  again = converted.read(tmp_path / 'dir')
  assert again.arrays.keys() == network.arrays.keys()
  back = tmp_path / ('b.safetensors' if kind == 'zip' else 'b.pth')
  out = state_dict.wrap({'student': again})
  writing.write(back, {'': next(iter(out.values()))})
  found = reading.read(back).arrays()
  kept = set(arrays)
  if family in ('init', 'torchvision', 'ctrl'):
    kept = {k for k in arrays if 'layer5' not in k and 'fc.' not in k}
    kept = {k for k in kept if not k.startswith(('decoder', 'head'))}
  if family == 'efficientnet':
    kept = {k for k in kept if not k.startswith(('_conv_head', '_bn1', '_fc'))}
  assert found.keys() == kept
  unused = ('enc4_4.weight', 'enc4_4.bias', 'dec4.weight', 'dec4.bias')
  unused = unused if name == 'depdis' else ()
  for key in kept:
    expected = arrays[key]
    if key in unused or key in batches:
      expected = np.zeros_like(expected)
    np.testing.assert_array_equal(found[key], expected, err_msg=key)


@pytest.mark.parametrize(
  ('family', 'backbone', 'reason'),
  [
    ('mit', 'mit_b5', 'files of MiT, DAFormer, HRDA and MIC can be read, but'),
    ('corda', 'mit_b5', 'files of MiT, DAFormer, HRDA and MIC can be read'),
    ('vfm_uda', 'dinov2_b', 'files of VFM-UDA can be read, but not written'),
    ('dacs', 'dinov2_s_reg', 'files of VFM-UDA can be read, but not written'),
    ('dada', 'efficientnet_lite0', 'it has no published checkpoints, so'),
    ('gio_ada', 'vgg16', 'it has no published checkpoints, so'),
    ('hrda', 'resnet101', 'it has no published checkpoints, so'),
  ],
)
def test_what_cannot_be_written_says_why(family, backbone, reason):
  record = {
    'family': family,
    'title': 'X',
    'network': {'backbone': backbone},
    'structure': {},
  }
  network = conversion.Network(arrays={}, record=record)
  with pytest.raises(errors.UserError, match=f'X: {reason}') as e:
    state_dict.from_network(network)
  assert str(e.value).endswith('; expected a folder to write to')


@pytest.mark.parametrize(
  ('family', 'options', 'reason'),
  [
    ('dada', {'active_rates': 2}, 'read with network.active_rates=0'),
    ('corda', {'stride_at': 'conv2'}, 'read with network.stride_at=conv1'),
    ('advent', {'backbone': 'vgg16'}, 'it has no published checkpoints'),
  ],
)
def test_a_file_that_would_be_read_as_another_network(family, options, reason):
  network = {**families.required(family, 'resnet101'), **options}
  record = dict(family=family, title='X', network=network, structure={})
  with pytest.raises(errors.UserError, match=f'X: .*{reason}'):
    state_dict.from_network(conversion.Network(arrays={}, record=record))


def test_what_was_recognised(tmp_path):
  def record(name):
    shapes, wrapper, *_ = FILES[name]
    path = tmp_path / f'{name}.pth'
    save(path, 'zip', official.fill(shapes), wrapper)
    return conversion.convert(reading.read(path)).record

  assert record('dada')['structure'] == {
    'classes': 16,
    'depth': True,
    'fuse': True,
  }
  assert record('advent')['structure']['multi_level']
  assert not record('advent_single')['structure']['multi_level']
  assert record('cyclegan')['structure']['blocks'] == 9
  assert record('corda_gta')['structure'] == {
    'classes': 19,
    'structure': 'full',
    'initial_semantic': 'backbone',
    'width': 16,
  }
  network = record('torchvision')['network']
  assert (network['stride_at'], network['image_order']) == ('conv2', 'rgb')
  # (0.485 * 255 - mean) * scale = 0, (1 * 255 - mean) * scale = (1 - m) / s.
  mean, scale = network['image_mean'][0], network['image_scale'][0]
  np.testing.assert_allclose(mean, 0.485 * 255)
  np.testing.assert_allclose((255 - mean) * scale, (1 - 0.485) / 0.229)
  # 0..255 to about -1..1.
  network = record('efficientnet')['network']
  assert (
    network.items() >= {'image_order': 'rgb', 'image_mean': (127,) * 3}.items()
  )
  assert network['image_scale'] == (1 / 128,) * 3
  # Small networks are not published: the config says how they are run.
  assert record('dacs')['network'] == {'backbone': 'resnet_tiny'}
  for shapes, heads in (
    (official.dacs(official.FULL), {'active_rates': 2}),
    (official.corda(official.FULL, width=256), {'active_rates': 2}),
    (official.dada(official.FULL), {'active_rates': 0, 'depth_scale': 1.0}),
  ):
    network = families.recognise(shapes, wrapped=True).network
    assert heads.items() <= network.items()
    assert (network['stride_at'], network['image_order']) == ('conv1', 'bgr')
    assert network['image_mean'] == (104.00698793, 116.66876762, 122.67891434)


def test_teacher_and_student(tmp_path):
  path = tmp_path / 'a.pth'
  arrays = official.fill(official.dacs())
  teacher = official.fill(official.dacs(), salt=1)
  tree = {'model': arrays, 'ema_model': teacher, 'iteration': 3}
  official.save(tree, path, 'zip')
  file = reading.read(path)
  kernel = 'params/backbone/conv1/kernel'
  for name, expected in (('student', arrays), ('teacher', teacher)):
    found = conversion.convert(file, network=name)
    np.testing.assert_array_equal(
      found.arrays[kernel], expected['conv1.weight'].transpose(2, 3, 1, 0)
    )
    assert found.record['of'] == name


def test_vgg():
  """Too large for files: names and shapes."""
  for shapes, name, left in (
    (official.torchvision_vgg16(), 'vgg16', 2),
    (official.adaptsegnet_vgg(), 'adaptsegnet_vgg', 0),
  ):
    family = families.recognise(shapes)
    assert family.name == name
    kept = {k: v for k, v in shapes.items() if family.reason(k) is None}
    assert len(shapes) - len(kept) == left
    arrays = {k: np.broadcast_to(np.float32(0), s) for k, s in kept.items()}
    match = pretrained.match(arrays, family.variables(), naming=family.key)
    assert (match.missing, match.mismatched, match.unexpected) == ({}, {}, ())
    assert len(match.filled) == len(kept)
    count = sum(x.size for x in match.filled.values())
    assert count == sum(int(np.prod(s)) for s in kept.values())
  # VGG-16 without its three last layers.
  assert len(official.vgg16()) == 26
  assert sum(int(np.prod(s)) for s in official.vgg16().values()) == 14_714_688
  network = families.recognise(official.torchvision_vgg16()).network
  assert network['image_order'] == 'rgb'


def test_misfits(tmp_path):
  path = tmp_path / 'a.pth'

  def refuse(arrays, message, **options):
    official.save(arrays, path, 'zip')
    with pytest.raises(errors.UserError, match=message) as e:
      conversion.convert(reading.read(path), **options)
    assert '\n' not in str(e.value)

  arrays = official.fill(official.dada())
  lacking = {k: v for k, v in arrays.items() if k != 'enc4_2.bias'}
  refuse(lacking, r'missing +1  enc4_2.bias')
  more = arrays | {'layer7.weight': np.ones(3, np.float32)}
  refuse(more, r'unexpected +1  layer7.weight')
  wrong = arrays | {'enc4_2.bias': np.ones(3, np.float32)}
  refuse(wrong, r'mismatched +1  enc4_2.bias \(\(3,\) there, \(4,\) here')
  official.save(lacking | more, path, 'zip')
  partial = conversion.convert(reading.read(path), partial=True)
  assert partial.record['random'] == []
  official.save(wrong, path, 'zip')
  partial = conversion.convert(reading.read(path), partial=True)
  assert partial.record['random'] == ['params/depth/enc4_2/bias']
  refuse({'a.weight': np.ones(3, np.float32)}, 'such as a.weight belong to')
  size = {**official.TINY, 'planes': (4, 4, 4, 8)}
  refuse(official.fill(official.dada(size)), r'ResNet of \(1, 1, 1, 1\) blocks')
  basic = {k: v for k, v in arrays.items() if '.conv3.' not in k}
  refuse(basic, 'without bottlenecks')
  refuse({'features.0.weight': np.ones(3, np.float32)}, 'VGG of 1 convol')
  refuse(arrays, 'unknown family', family='dada')
  larger = official.efficientnet(widths=(4,) * 6, kernels=(3,) * 6)
  refuse(official.fill(larger), 'EfficientNet of 6 blocks and a stem of 4 chan')
  excited = {'_blocks.0._se_reduce.weight': (1, 4, 1, 1)}
  excited |= official.efficientnet()
  refuse(official.fill(excited), r'unexpected +1  _blocks.0._se_reduce.weight')


def test_fit():
  """A head of other classes stays random; a backbone must fit."""
  arrays = official.fill(official.dada())
  family = families.recognise({k: v.shape for k, v in arrays.items()})
  shapes = family.variables()
  match = pretrained.match(arrays, shapes)
  weights = conversion.Network(
    arrays={'/'.join(p): x for p, x in match.filled.items()},
    record={'file': 'a.pth', 'title': 'DADA', 'network': {}},
  )
  seven = families.recognise(official.dada(classes=7)).variables()
  expected = {'/'.join(p): x for p, x in _flat(seven).items()}
  fit = conversion.fit(weights, expected)
  assert conversion.modules(fit.random) == ['layer6']
  assert conversion.modules(fit.unused) == ['layer6']
  assert len(fit.random) == 8
  with pytest.raises(errors.UserError, match=r'\[16\] for params/layer6'):
    conversion.fit(weights, expected, whole=True)
  path = 'params/backbone/layer1_0/conv1/kernel'
  del weights.arrays[path]
  with pytest.raises(errors.UserError, match=f'has nothing for {path}'):
    conversion.fit(weights, expected)


def _flat(tree, prefix=()):
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {
    p: x for k, v in tree.items() for p, x in _flat(v, (*prefix, k)).items()
  }


@pytest.mark.parametrize(
  ('name', 'shapes'),
  [
    ('dada', official.dada(official.FULL)),
    ('depdis', official.depdis(official.FULL)),
    ('corda', official.corda(official.FULL, width=256)),
  ],
)
def test_names_are_the_official_ones(name, shapes):
  path = pathlib.Path(__file__).parents[2] / f'shared/golden/{name}.npz'
  path = (
    path if path.exists() else path.parents[3] / f'shared/golden/{name}.npz'
  )
  if not path.exists():
    pytest.skip('needs the reference numbers')
  listed = json.loads(str(np.load(path)['shapes']))
  task = {k: tuple(v) for k, v in listed.items() if not k.startswith('D.')}
  assert task == shapes


def test_a_flat_file_with_the_head_of_dacs(tmp_path):
  """It is a whole network, unless the head is that of an initialisation."""
  path = tmp_path / 'a.pth'
  for shapes, options, name in (
    (official.dacs(), {}, 'dacs'),
    (official.dacs(), {'family': 'init'}, 'init'),
    (official.dacs(classes=21), {}, 'dacs'),
    (official.init(), {}, 'init'),
    (official.init(), {'family': 'dacs'}, 'dacs'),
    (official.init(), {'whole': True}, 'dacs'),
  ):
    official.save(official.fill(shapes), path, 'zip')
    network = conversion.convert(reading.read(path), **options)
    assert network.record['family'] == name
    head = [k for k in network.arrays if k.startswith('params/layer6/')]
    assert len(head) == (8 if name == 'dacs' else 0)
    other = 'init' if name == 'dacs' else 'dacs'
    said = [row.note for row in network.report if row.status == 'guessed']
    assert len(said) == ('family' not in options)
    assert all(x.endswith(f'with --family={other}') for x in said)
    assert ('dropped 8 layer5' in conversion.left_out(network)) != bool(head)


def test_other_entries_of_the_file_are_all_named(tmp_path):
  path = tmp_path / 'a.pth'
  beside = [f'extra_{i}' for i in range(9)]
  tree = {'model': official.fill(official.dacs()), **dict.fromkeys(beside, 1)}
  official.save(tree, path, 'zip')
  network = conversion.convert(reading.read(path))
  (row,) = (row for row in network.report if row.status == 'other')
  assert conversion.describe(row).split() == [
    *('other', '9', *(f'{x},' for x in beside[:-1]), beside[-1]),
    *['(entries', 'of', 'the', 'file,', 'not', 'read)'],
  ]
  assert ', '.join(beside) in conversion.left_out(network)
  # The folder records its source.
  converted.write(tmp_path / 'dir', network)
  assert (
    converted.read(tmp_path / 'dir', family='dacs').record['of'] == 'student'
  )
  with pytest.raises(errors.UserError, match='conversion of --network=student'):
    converted.read(tmp_path / 'dir', network='teacher')
  with pytest.raises(errors.UserError, match='conversion of --family=dacs'):
    converted.read(tmp_path / 'dir', family='init')


def test_fully_connected_layers_of_a_backbone_may_stay_random():
  """AdaptSegNet's VGG-16 from ImageNet weights, which lack these layers."""
  ones = np.ones(3, np.float32)
  weights = conversion.Network(
    arrays={'params/backbone/stage1/conv1/bias': ones},
    record={'file': 'a.pth', 'title': 'VGG'},
  )
  leaf = jax.ShapeDtypeStruct((3,), np.float32)
  paths = [
    f'params/{x}/bias'
    for x in ('backbone/stage1/conv1', 'backbone/fc6', 'semantic/conv0')
  ]
  fit = conversion.fit(weights, dict.fromkeys(paths, leaf))
  np.testing.assert_array_equal(fit.arrays[paths[0]], ones)
  assert fit.random == paths[1:]
  assert conversion.modules(fit.random) == ['fc6', 'semantic']
  # All other layers must exist, and those that exist must fit.
  other = jax.ShapeDtypeStruct((4,), np.float32)
  for path, arrays in (
    ('params/backbone/stage2/conv1/bias', {}),
    (paths[1], {paths[1]: ones}),
  ):
    bad = dataclasses.replace(weights, arrays={**weights.arrays, **arrays})
    with pytest.raises(errors.UserError, match=f'for {path}; the network'):
      conversion.fit(bad, {paths[0]: leaf, path: other})
  with pytest.raises(errors.UserError, match=r'has nothing for .*fc6/bias'):
    conversion.fit(weights, dict.fromkeys(paths, leaf), whole=True)


@pytest.mark.parametrize('shape', [(), (0,), (0, 3, 7, 7)])
def test_shapes_of_no_network(tmp_path, shape):
  path = tmp_path / 'a.pth'
  for key in ('layer5.conv2d_list.0.bias', 'layer1.0.conv1.weight'):
    arrays = official.fill(official.dacs())
    official.save({**arrays, key: np.zeros(shape, np.float32)}, path, 'zip')
    with pytest.raises(errors.UserError, match=r'a ResNet of|shapes of no|fit'):
      conversion.convert(reading.read(path))


def test_numbers_that_are_not_finite(tmp_path):
  arrays = official.fill(official.discriminator())
  key = next(iter(arrays))
  arrays[key].flat[3] = np.inf
  official.save(arrays, tmp_path / 'a.pth', 'zip')
  with pytest.raises(
    errors.UserError, match=r'a\.pth has numbers that are not'
  ):
    conversion.convert(reading.read(tmp_path / 'a.pth'))
