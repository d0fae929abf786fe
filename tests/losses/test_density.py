import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.losses import density as losses
from jaxuda.losses import depth
from jaxuda.ops import density
from jaxuda.ops import resize


def make():
  rng = np.random.default_rng(0)
  table = density.tabulate(
    rng.dirichlet(np.ones(2), 3),
    rng.uniform(0, [6, 5, 40], (3, 2, 3)),
    rng.uniform(4, 400, (3, 2, 3)),
  )
  out = {
    'logits': rng.normal(size=(2, 5, 6, 3)),
    'depth': rng.uniform(1, 40, (2, 5, 6)),
    'density': rng.uniform(0, 255, (2, 5, 6)),
  }
  out = {k: jnp.asarray(v, jnp.float32) for k, v in out.items()}
  inverse = rng.uniform(1, 40, (2, 10, 13)).astype(np.float32)
  label = rng.choice([0, 1, 2, 255], (2, 10, 13))
  return table, out, inverse, label


@pytest.mark.parametrize('transfer', [False, True])
def test_is_berhu_against_the_density_on_the_grid(transfer):
  table, out, inverse, label = make()
  low = [resize.resize_nearest(x, (5, 6)) for x in (inverse, label)]
  target = density.source_density(table, out['logits'], *low, soft=transfer)
  loss = losses.source_balance(
    out, inverse, label, table=table, transfer=transfer
  )
  np.testing.assert_allclose(loss, depth.berhu(out['density'], target))
  target = density.target_density(
    table, out['logits'], out['depth'], soft=transfer
  )
  loss = losses.target_balance(out, table=table, transfer=transfer)
  np.testing.assert_allclose(loss, depth.berhu(out['density'], target))


def test_masked_pixels_do_not_count():
  table, out, inverse, label = make()
  mask = np.ones(label.shape, bool)
  mask[0] = False
  inverse[0] = 1e4
  masked = losses.source_balance(out, inverse, label, table=table, mask=mask)
  alone = losses.source_balance(
    {k: v[1:] for k, v in out.items()}, inverse[1:], label[1:], table=table
  )
  np.testing.assert_allclose(masked, alone, rtol=1e-6)


@pytest.mark.parametrize('transfer', [False, True])
def test_gradient_reaches_the_other_branches_only_with_transfer(transfer):
  table, out, inverse, label = make()
  source = jax.grad(
    lambda o: losses.source_balance(
      o, inverse, label, table=table, transfer=transfer
    )
  )(out)
  target = jax.grad(
    lambda o: losses.target_balance(o, table=table, transfer=transfer)
  )(out)
  reached = {
    **{f'source {k}': bool(np.any(v)) for k, v in source.items()},
    **{f'target {k}': bool(np.any(v)) for k, v in target.items()},
  }
  assert reached == {
    'source density': True,
    'target density': True,
    'source logits': transfer,
    'target logits': transfer,
    # On the source the depth is the true one.
    'source depth': False,
    'target depth': transfer,
  }
