"""The configs of DAFormer, HRDA and MIC."""

import pytest

from configs.parts import recipe
from jaxuda import errors
from jaxuda import methods
from jaxuda.run import own_classes
from jaxuda.ui import command

PAPERS = ('gta2cityscapes', 'synthia2cityscapes')


def read(name, **arguments):
  text = ','.join(f'{k}={v}' for k, v in arguments.items())
  return command.read_config(f'{name}:{text}')


@pytest.mark.parametrize('depth', recipe.METHODS)
@pytest.mark.parametrize('pair', PAPERS)
def test_published_settings(pair, depth):
  config = read('daformer', pair=pair, depth=depth)
  method = methods.create(config)
  assert (
    config.name == {'none': 'dacs', 'corda': 'corda', 'dada': 'dacs'}[depth]
  )
  height = {'gta2cityscapes': 704, 'synthia2cityscapes': 760}[pair]
  source, target = config.data.source, config.data.target
  assert (source.size, target.size) == ((height, 1280), (512, 1024))
  assert source.crop == target.crop == (512, 512)
  assert source.flip
  assert target.flip
  # OpenCV's, by mmcv.
  assert source.image_resize == target.image_resize == 'linear'
  assert (source.crop_most, target.crop_most) == (0.75, 1)
  assert (source.rare_temperature, source.rare_pixels) == (0.01, 3000)
  assert source.rare_crop == 0.5
  assert (config.total_steps, config.batch_size) == (40000, 2)
  assert method.network.backbone == 'mit_b5'
  assert (method.network.decoder, method.network.decoder_width) == (
    'daformer',
    256,
  )
  assert (method.network.dropout, method.network.stochastic_depth) == (0.1, 0.1)
  assert method.network.image_order == 'rgb'
  assert method.network.init == 'mmcv'
  optim = method.optim
  assert (optim.name, optim.learning_rate, optim.power) == ('adamw', 6e-5, 1)
  assert (optim.weight_decay, optim.no_decay) == (0.01, ('norm',))
  assert (optim.warmup_steps, optim.warmup_ratio) == (1500, 1e-6)
  assert (optim.head_multiplier, optim.betas) == (10, (0.9, 0.999))
  mixing = method.mixing
  assert (mixing.alpha, mixing.threshold, mixing.weight) == (
    *(0.999, 0.968),
    'batch',
  )
  assert (mixing.margins, mixing.margins_of) == ((15, 120, 0, 0), 'crop')
  assert (mixing.classes_of, mixing.jitter_strength) == ('batch', 0.2)
  assert mixing.count_initial
  assert method.average_all
  assert (method.features.weight, method.features.share) == (0.005, 0.75)
  assert method.features.classes == (6, 7, *range(11, 19))
  assert method.masking.weight == 0
  assert method.evaluate == 'student'
  if depth == 'corda':
    # On either source that of CorDA's network for SYNTHIA.
    assert (method.initial_semantic, method.initial_until) == ('bottleneck', 0)


@pytest.mark.parametrize('pair', PAPERS)
def test_hrda_has_twice_the_size_and_mic_masks(pair):
  small = read('daformer', pair=pair)
  config, masked = read('hrda', pair=pair), read('mic', pair=pair)
  method = methods.create(config)
  height = {'gta2cityscapes': 1407, 'synthia2cityscapes': 1520}[pair]
  source, target = config.data.source, config.data.target
  assert (source.size, target.size) == ((height, 2560), (1024, 2048))
  assert source.crop == target.crop == (1024, 1024)
  assert source.rare_crop == 2
  network = method.network
  assert network.resolutions == 'hrda'
  assert (network.detail_crop, network.window) == ((512, 512), (1024, 1024))
  assert (network.context_scale, network.detail_weight) == (0.5, 0.1)
  assert network.scale_attention == 'classes'
  assert method.mixing.margins == (30, 240, 30, 30)
  assert 'place' in method.needs['target']
  assert config.optim == small.optim
  assert masked.masking.to_dict() == {
    **{'weight': 1, 'block': 64},
    **{'ratio': 0.7, 'augment': True},
  }
  on_small = read('mic', pair=pair, on='daformer')
  assert on_small.masking.block == 32
  for one, other in ((masked, config), (on_small, small)):
    for group in ('data', 'network', 'optim', 'mixing', 'features', 'method'):
      assert one[group] == other[group]


@pytest.mark.parametrize('pair', ['streets', 'camvid_day2dusk', 'streets2idd'])
def test_small_pairs_keep_their_schedule(pair):
  config = read(
    'mic', pair=pair, depth='corda' if pair == 'streets' else 'none'
  )
  method = methods.create(config)
  own = read('dacs', pair=pair, backbone='mit_b0')
  assert config.total_steps == own.total_steps
  assert config.optim == own.optim
  assert method.network.backbone == 'mit_b0'
  assert method.features.weight == 0
  size = config.data.target.size
  assert config.data.source.size == size == method.network.window
  assert (
    max(a - b for a, b in zip(own.data.source.size, size, strict=True)) < 16
  )
  assert method.network.detail_crop == (size[0] // 2, size[1] // 2)
  assert config.data.source.rare_pixels < 100
  assert method.masking.block in (8, 11)


@pytest.mark.parametrize('name', ['daformer', 'hrda', 'mic'])
def test_depth_of_dada_is_put_on_the_recipe(name):
  """DADA's block and its alignment, with the weights of configs/dada.py."""
  for pair in (*PAPERS, 'streets'):
    plain, config = read(name, pair=pair), read(name, pair=pair, depth='dada')
    method = methods.create(config)
    own = methods.create(read('dada', pair=pair))
    fields = ('lambda_depth', 'lambda_adv', 'fuse', 'disc_width', 'disc_factor')
    for field in fields:
      assert getattr(method, field) == getattr(own, field), field
    assert method.lambda_depth == (1e-2 if pair == 'streets' else 1e-3)
    assert (method.adversarial, own.align) == ('dada', 'dada')
    assert method.network.depth_scale == 100
    assert method.needs['source'] == ('image', 'label', 'depth')
    assert 'depth' not in method.needs['target']
    # GTA5 has only estimated depth.
    dataset = {'gta2cityscapes': 'gta5/mono', 'streets': 'streets/source'}
    assert config.data.source.dataset == dataset.get(pair, 'synthia')
    # Everything else is that of the recipe.
    plain.data.source.dataset = config.data.source.dataset
    for field in (*fields, 'adversarial'):
      plain.method[field] = config.method[field]
    plain.network.depth_scale = config.network.depth_scale
    assert config.to_dict() == plain.to_dict()


def test_what_is_unknown_is_named():
  for text, message in (
    ('daformer:depth=dda', "depth 'dda'; expected one of none, corda, dada"),
    ('mic:on=dacs', "on 'dacs'; expected one of hrda, daformer"),
    ('hrda:on=hrda', "argument 'on=hrda'"),
  ):
    with pytest.raises(errors.UserError, match=message):
      command.read_config(text)


_BEGUN = 'daformer:pair=folder,backbone=efficientnet_lite0'


def test_things_of_another_class_set_are_refused(tmp_path):
  """A config chooses them for the class set that it names itself."""
  table = tmp_path / 'scene.yaml'
  table.write_text('classes: [wall, door, person, floor]')
  own = f'--config.classes={table}'
  config = command.read_config(_BEGUN)
  assert config.features.classes == recipe.THINGS['cityscapes19']
  for flag in (own, '--config.classes=coarse7'):
    with pytest.raises(errors.UserError, match='the things of cityscapes19'):
      command.read_config(_BEGUN, [flag])
  for flags, things in (
    ([own, '--config.features.classes=(2,)'], (2,)),
    ([own, '--config.features.weight=0'], recipe.THINGS['cityscapes19']),
  ):
    config = own_classes.count(command.read_config(_BEGUN, flags))
    assert methods.create(config).features.classes == things
  config.features.weight = 0.005
  with pytest.raises(errors.UserError, match=r'scene\.yaml, 0 to 3, or --conf'):
    own_classes.count(config)


@pytest.mark.parametrize('name', ['daformer', 'hrda', 'mic', 'depth_mic'])
def test_weights_on_the_command_line_ask_for_the_feature_distance(name):
  """With random weights it is off, and it would stay off without a word."""
  text = f'{name}:pair=streets,backbone=mit_b0'
  given = '--config.initial=mit_b0.pth'
  assert methods.create(command.read_config(text)).features.weight == 0
  with pytest.raises(errors.UserError, match=r'features\.weight=0\.005, as in'):
    command.read_config(text, [given])
  for weight in (0.005, 0):
    flags = [given, f'--config.features.weight={weight}']
    features = methods.create(command.read_config(text, flags)).features
    assert features.weight == weight
    assert features.classes == recipe.THINGS['cityscapes19']
  # Neither has such a distance at all.
  for plain in ('dacs:pair=streets', 'depth_mic:pair=streets,without=features'):
    command.read_config(plain, [given])


@pytest.mark.parametrize('backbone', ['mit_b5', 'dinov2_s'])
def test_where_weights_must_be_named_the_feature_distance_is_on(backbone):
  for name in ('daformer', 'depth_mic'):
    config = read(name, pair='synthia2cityscapes', backbone=backbone)
    assert config.initial == ''
    assert methods.create(config).features.weight == 0.005


@pytest.mark.parametrize(
  ('name', 'margins'),
  [
    ('daformer', (9, 75, 0, 0)),
    ('depth_mic', (9, 75, 0, 0)),
    ('hrda', (9, 75, 9, 9)),
  ],
)
def test_margins_are_in_proportion_to_the_targets_height(name, margins):
  """320 rows instead of 512 or 1024: 15 * 320 / 512 is 9.4."""
  config = read(name, pair='synthia2cityscapes_low')
  assert config.data.target.size == (320, 640)
  assert methods.create(config).mixing.margins == margins
