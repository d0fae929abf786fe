import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from scipy import stats

from jaxuda import errors
from jaxuda import methods
from jaxuda.methods import depdis
from jaxuda.methods.parts import learner
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.models import deeplab
from jaxuda.ops import resize
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command

SIZE = (32, 48)
GRID = (5, 7)  # The size of the network's output.
NETWORK = deeplab.Options(
  backbone='resnet_tiny', init='he', train_affine=True, image_scale=(0.02,) * 3
)


def make_mixtures(path):
  generator = np.random.default_rng(0)
  made = mixtures_lib.Mixtures(
    weights=generator.dirichlet(np.ones(2), 3),
    means=generator.uniform(0, [3, 3, 60], (3, 2, 3)),
    covariances=generator.uniform([2, 2, 900], [6, 6, 3000], (3, 2, 3)),
    counts=np.array([900, 50, 40]),
    grid=GRID,
    info={},
  )
  mixtures_lib.write(path, made)
  return made


def test_pictures_show_the_densities(tmp_path):
  made = make_mixtures(tmp_path / 'mixtures.npz')
  method = depdis.Method(
    num_classes=3,
    total_steps=10,
    network=NETWORK,
    disc_width=4,
    mixtures=str(tmp_path / 'mixtures.npz'),
    mask_wrong=False,
  )
  generator = np.random.default_rng(1)
  image = generator.integers(0, 256, (2, *SIZE, 3), np.uint8)
  batch = {
    'source': {
      'image': image,
      'label': generator.integers(0, 3, (2, *SIZE), np.int32),
      'depth': np.full((2, *SIZE), 20, np.float32),
      'depth_valid': np.ones((2, *SIZE), bool),
    },
    'target': {'image': image[::-1]},
  }
  state = jax.jit(method.init)(rng.root(0), batch)
  shown = jax.jit(lambda *args: parallel.run_alone(method.pictures, *args))(
    state, batch, rng.root(1)
  )
  assert shown['image'].keys() == {'source', 'target'}
  share = jax.device_get(shown['share'])
  assert {x.shape for x in share.values()} == {(2, *SIZE)}
  # The corners of the grid are the corners of the picture.
  z = 65536 / (100 * 20 + 1)
  for b in range(2):
    for (y, x), (row, column) in {
      (0, 0): (0, 0),
      (GRID[0] - 1, GRID[1] - 1): (-1, -1),
    }.items():
      c = int(shown['label']['source prediction'][b, row, column])
      density = sum(
        weight
        * stats.multivariate_normal(mean, np.diag(variance)).pdf([x, y, z])
        for weight, mean, variance in zip(
          made.weights[c], made.means[c], made.covariances[c], strict=True
        )
      )
      np.testing.assert_allclose(
        share['source expected'][b, row, column],
        1 - np.exp(-1e6 * density),
        rtol=1e-3,
      )
  # `predict` uses the same branch.
  said = jax.jit(method.predict)(state, image)['density']
  np.testing.assert_allclose(share['source density'], said / 255, atol=1e-5)
  # The same pictures, without the label or the true depth.
  np.testing.assert_allclose(
    share['target density'], share['source density'][::-1], atol=1e-5
  )
  assert np.abs(share['target expected'] - share['source expected']).max() > 0.1


@pytest.mark.parametrize(
  ('fields', 'headings'),
  [
    ({'lambda_balance': 0, 'lambda_balance_target': 0}, set()),
    (
      # No depth branch: nothing is expected on the target.
      {'lambda_depth': 0, 'lambda_balance_target': 0, 'align': 'density'},
      {'source density', 'source expected', 'target density'},
    ),
  ],
  ids=['no density', 'no depth'],
)
def test_pictures_of_ablations(tmp_path, fields, headings):
  make_mixtures(tmp_path / 'mixtures.npz')
  method = depdis.Method(
    num_classes=3,
    total_steps=10,
    network=NETWORK,
    disc_width=4,
    mixtures=str(tmp_path / 'mixtures.npz'),
    **{'align': 'seg', **fields},
  )
  image = jnp.zeros((1, *SIZE, 3), jnp.uint8)
  batch = {
    'source': {
      'image': image,
      'label': jnp.zeros((1, *SIZE), jnp.int32),
      'depth': jnp.ones((1, *SIZE)),
      'depth_valid': jnp.ones((1, *SIZE), bool),
    },
    'target': {'image': image},
  }
  state = jax.eval_shape(method.init, rng.root(0), batch)
  shown = jax.eval_shape(
    lambda *args: parallel.run_alone(method.pictures, *args),
    *(state, batch, rng.root(1)),
  )
  assert set(shown['share']) == headings
  assert all(x.shape == (1, *SIZE) for x in shown['share'].values())


# Of the facts: what the discriminator sees; class and depth of the map that the
# source's density branch is regressed on; whether the target's is.
ROWS = {
  'M1': (('seg',), None, False),
  'M2': (('seg', 'density'), ('predicted', 'true'), True),
  'S1': (('seg', 'density'), ('true', 'true'), False),
  'S2': (('seg', 'density'), ('predicted', 'predicted'), True),
  'S3': (('seg', 'depth', 'density'), ('predicted', 'true'), True),
  'S4': (('seg', 'depth'), ('predicted', 'true'), True),
}
CLASSES = 16
PAIR = 'synthia2cityscapes'


@pytest.fixture
def row(tmp_path, monkeypatch):
  """Makes the method of a row, whose network only returns its input."""
  generator = np.random.default_rng(2)
  made = mixtures_lib.Mixtures(
    weights=generator.dirichlet(np.ones(2), CLASSES),
    means=generator.uniform(0, [6, 4, 60], (CLASSES, 2, 3)),
    covariances=generator.uniform([20, 20, 900], 9000, (CLASSES, 2, 3)),
    counts=np.arange(1, CLASSES + 1),
    grid=GRID,
    info={},
  )
  path = tmp_path / 'mixtures.npz'
  mixtures_lib.write(path, made)

  def run(self, params, batch_stats, image, *, size, dropout_key):
    assert size == 'grid'
    assert dropout_key is None
    return params, batch_stats

  monkeypatch.setattr(learner.Learner, 'run', run)

  def make(name, **changes):
    config = command.read_config(f'depdis:pair={PAIR},ablation={name}')
    method = dataclasses.replace(
      methods.create(config),
      mixtures=str(path),
      disc_width=4,
      sums='device',  # Passes are tested outside of a mapped step.
      **changes,
    )
    return method, made

  return make


def make_outputs(seed, grid=GRID):
  generator = np.random.default_rng(seed)
  out = {
    'logits': generator.normal(size=(2, *grid, CLASSES)) * 2,
    # Some of the depth is not positive.
    'depth': generator.uniform(-5, 60, (2, *grid)),
    'density': generator.uniform(0, 255, (2, *grid)),
  }
  return {k: jnp.asarray(v, jnp.float32) for k, v in out.items()}


def make_source(logits):
  """Makes labels: the predicted class in half of the pixels, some void."""
  generator = np.random.default_rng(5)
  predicted = resize.resize_nearest(logits.argmax(-1), SIZE)
  label = np.where(
    generator.random((2, *SIZE)) < 0.5,
    predicted,
    generator.choice([*range(CLASSES), 255], (2, *SIZE)),
  )
  valid = np.ones((2, *SIZE), bool)
  valid[:, :, -9:] = False
  return {
    'image': jnp.zeros((2, *SIZE, 3), jnp.uint8),
    'label': label.astype(np.int32),
    'depth': generator.uniform(10, 80, (2, *SIZE)).astype(np.float32),
    'depth_valid': valid,
  }


def expect_map(made, label, z, scale=(1, 1)):
  """Computes 255 (1 - exp(-1e6 p)) pixel by pixel; 0 without a class."""
  result = np.zeros(label.shape)
  for index, c in np.ndenumerate(label):
    if c == 255:
      continue
    place = scale[1] * index[2], scale[0] * index[1], z[index]
    p = sum(
      weight * stats.multivariate_normal(mean, np.diag(variance)).pdf(place)
      for weight, mean, variance in zip(
        made.weights[c], made.means[c], made.covariances[c], strict=True
      )
    )
    result[index] = 255 * (1 - np.exp(-1e6 * p))
  return result


def expect_source_maps(made, out, source):
  """Returns (class, depth) -> the map of the source on the grid."""
  low = {
    k: np.asarray(resize.resize_nearest(source[k], GRID))
    for k in ('label', 'depth')
  }
  predicted = np.asarray(out['logits']).argmax(-1)
  truth = 65536 / (100 * low['depth'].astype(np.float64) + 1)
  z = np.asarray(out['depth'])
  return {
    ('true', 'true'): expect_map(made, low['label'], truth),
    ('predicted', 'true'): expect_map(
      made, predicted, np.where(predicted == low['label'], truth, 0)
    ),
    ('predicted', 'predicted'): expect_map(made, predicted, z) * (z > 0),
  }


def expect_berhu(prediction, target, mask=None):
  error = np.abs(np.asarray(prediction) - target)
  error = error[mask] if mask is not None else error
  c = error.max() / 5
  beyond = (error**2 + c**2) / (2 * c)
  return np.where(error <= c, error, beyond).mean()


def expect_seen(out, parts):
  """Computes self-information in [0, 1] times depth times density."""
  full = {k: resize.resize_align_corners(v, SIZE) for k, v in out.items()}
  p = special.softmax(np.asarray(full['logits'], np.float64), -1)
  seen = special.entr(p) / np.log(CLASSES)
  for part in parts[1:]:
    seen = seen * np.asarray(full[part])[..., None]
  return seen


# The weight of each loss, other than the others'.
WEIGHTS = {
  **{'loss_seg': ('lambda_seg', 2.0), 'loss_depth': ('lambda_depth', 3.0)},
  **{'loss_adv': ('lambda_adv', 4.0)},
  'loss_balance_source': ('lambda_balance', 5.0),
  'loss_balance_target': ('lambda_balance_target', 6.0),
}


@pytest.mark.parametrize('name', ROWS)
def test_what_a_row_trains(row, name):
  method, made = row(name)
  given = {k: v for k, v in WEIGHTS.values() if getattr(method, k)}
  method = dataclasses.replace(method, **given)
  parts, source_map, target_map = ROWS[name]
  out = make_outputs(3)
  source = make_source(out['logits'])
  losses, _, seen = method.source_loss(out, {}, source)
  names = {'loss_seg', 'loss_depth'}
  assert losses.keys() == names | (
    {'loss_balance_source'} if source_map else set()
  )
  assert all(losses[k][0] == WEIGHTS[k][1] for k in losses)
  np.testing.assert_allclose(seen, expect_seen(out, parts), rtol=1e-3)
  if source_map:
    maps = expect_source_maps(made, out, source)
    # They must differ, or the figure would show nothing.
    for a, b in itertools.combinations(maps.values(), 2):
      assert np.abs(a - b).mean() > 10
    valid = np.asarray(resize.resize_nearest(source['depth_valid'], GRID))
    assert not valid.all()
    mask = valid if source_map[1] == 'true' else None
    np.testing.assert_allclose(
      losses['loss_balance_source'][1],
      expect_berhu(out['density'], maps[source_map], mask),
      rtol=1e-4,
    )
  other = make_outputs(4)
  disc = method.adversary.create(jax.random.key(0), CLASSES)
  losses, _, seen = method.target_loss(
    other, {}, disc.params, {'image': source['image']}
  )
  names = {'loss_adv'} | ({'loss_balance_target'} if target_map else set())
  assert losses.keys() == names
  assert all(losses[k][0] == WEIGHTS[k][1] for k in losses)
  np.testing.assert_allclose(seen, expect_seen(other, parts), rtol=1e-3)
  if target_map:
    z, predicted = np.asarray(other['depth']), other['logits'].argmax(-1)
    expected = expect_map(made, np.asarray(predicted), z) * (z > 0)
    np.testing.assert_allclose(
      losses['loss_balance_target'][1],
      expect_berhu(other['density'], expected),
      rtol=1e-4,
    )


@pytest.mark.parametrize(
  ('fields', 'grid'),
  [({'grid': 'scaled'}, (9, 4)), ({'mapping': 'plain'}, GRID)],
)
def test_grid_and_mapping_of_the_map(row, fields, grid):
  method, made = row('M2', **fields)
  # The mixtures are of 5x7 pixels: 9x4 are half and twice as far apart.
  scale = (1, 1) if grid == GRID else (0.5, 2.0)
  out = make_outputs(4, grid)
  z, predicted = np.asarray(out['depth']), out['logits'].argmax(-1)
  expected = expect_map(made, np.asarray(predicted), z, scale) * (z > 0)
  if 'mapping' in fields:
    expected = -np.log1p(-expected / 255) / 1e6
    out['density'] *= 1e-8
  disc = method.adversary.create(jax.random.key(0), CLASSES)
  image = {'image': jnp.zeros((2, *SIZE, 3), jnp.uint8)}
  losses, *_ = method.target_loss(out, {}, disc.params, image)
  wanted = expect_berhu(out['density'], expected)
  np.testing.assert_allclose(losses['loss_balance_target'][1], wanted, 1e-4)


@pytest.mark.parametrize('transfer', [False, True])
@pytest.mark.parametrize('name', ['M2', 'S1', 'S2'])
def test_what_the_source_map_passes_a_gradient_to(row, name, transfer):
  method, _ = row(name, balance_transfer=transfer)
  out = make_outputs(3)
  source = make_source(out['logits'])
  grads = jax.grad(
    lambda o: method.source_loss(o, {}, source)[0]['loss_balance_source'][1]
  )(out)
  reached = {k for k, v in grads.items() if np.any(v)}
  # The maps are constants, as in the official code; in the variant gradients
  # reach the inputs of a map, none of which is predicted in S1.
  made_of = {'M2': {'logits'}, 'S1': set(), 'S2': {'logits', 'depth'}}
  assert reached == {'density'} | (made_of[name] if transfer else set())


def test_sharpness_comes_from_the_mixtures_where_it_is_0(row):
  method, made = row('M2', sharpness=0.0)
  options = method.balance_options((2, *GRID))
  assert options['sharpness'] == made.sharpness
  out = make_outputs(3)
  source = make_source(out['logits'])
  loss = method.source_loss(out, {}, source)[0]['loss_balance_source'][1]
  by_hand, _ = row('M2', sharpness=made.sharpness)
  expected = by_hand.source_loss(out, {}, source)[0]['loss_balance_source'][1]
  assert loss == expected
  official, _ = row('M2')
  assert official.balance_options((2, *GRID))['sharpness'] == 1e6
  other = official.source_loss(out, {}, source)[0]['loss_balance_source'][1]
  assert abs(loss - other) > 1


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'sharpness': -1.0}, r'sharpness=-1\.0; expected at least 0'),
    ({'source_map': 'depth'}, 'expected one of true_depth, truth, predicted_'),
    (
      {
        'source_map': 'predicted_depth',
        **dict(lambda_depth=0, lambda_balance_target=0),
      },
      'lambda_depth=0 builds no such branch',
    ),
  ],
)
def test_bad_fields_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    depdis.Method(num_classes=3, total_steps=10, **fields)
