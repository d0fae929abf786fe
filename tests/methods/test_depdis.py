import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuda.methods import depdis
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import rng

SIZE = (32, 48)
GRID = (5, 7)  # Of the network's output.
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
  # The corners of the grid are those of the picture.
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
  # The same pictures, and nothing of the label or the true depth.
  np.testing.assert_allclose(
    share['target density'], share['source density'][::-1], atol=1e-5
  )
  assert np.abs(share['target expected'] - share['source expected']).max() > 0.1


@pytest.mark.parametrize(
  ('fields', 'headings'),
  [
    ({'lambda_balance': 0, 'lambda_balance_target': 0}, set()),
    (
      # No depth branch: nothing to expect on the target.
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
