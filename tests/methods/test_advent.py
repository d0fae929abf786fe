"""AdvEnt's losses, their weights and what its discriminators see, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuda.methods import advent
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab

CLASSES = 3
WEIGHTS = {
  **{'lambda_seg': 2.0, 'lambda_seg_aux': 0.3},
  **{'lambda_adv': 0.5, 'lambda_adv_aux': 0.7},
  **{'lambda_ent': 0.11, 'lambda_ent_aux': 0.13},
}
# Of the outputs: (suffix of the losses, discriminator).
LEVELS = {'logits': ('', 'disc'), 'aux': ('_aux', 'disc_aux')}


def create(align, levels):
  return advent.Method(
    num_classes=CLASSES,
    total_steps=10,
    network=deeplab.Options(backbone='resnet_tiny'),
    align=align,
    multi_level=levels == 2,
    disc_width=2,
    sums='device',
    **WEIGHTS,
  )


@pytest.fixture
def outputs(monkeypatch):
  """Makes the network return these, whatever it is given."""
  generator = np.random.default_rng(0)
  made = {k: 2 * generator.normal(size=(1, 32, 33, CLASSES)) for k in LEVELS}
  full = {k: jnp.asarray(v, jnp.float32) for k, v in made.items()}
  monkeypatch.setattr(
    learner.Learner, 'run_on', lambda *_, **__: (full, 'statistics')
  )
  return made


def expect_seen(align, logits):
  """Computes the softmax, or its self-information, which is in 0..1."""
  p = special.softmax(logits, -1)
  return p if align == 'output' else special.entr(p) / np.log(CLASSES)


def check(losses, expected):
  assert losses.keys() == expected.keys()
  for name, (weight, value) in expected.items():
    assert losses[name][0] == weight, name
    np.testing.assert_allclose(losses[name][1], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize('levels', [1, 2])
@pytest.mark.parametrize('align', ['advent', 'output', 'minent'])
def test_what_each_level_trains(outputs, align, levels):
  method = create(align, levels)
  label = np.random.default_rng(1).choice([0, 1, 2, 255], (1, 32, 33))
  discs = {
    disc: method.adversary.create(jax.random.key(i), CLASSES).params
    for i, (_, disc) in enumerate(LEVELS.values())
  }
  source, stats, seen = method.source_loss(None, None, {'label': label})
  target, _, shown = method.target_loss(None, None, discs, {})
  assert stats == 'statistics'
  known, on_source, on_target, maps = label < 255, {}, {}, {}
  for level, (suffix, disc) in [*LEVELS.items()][:levels]:
    logs = special.log_softmax(outputs[level], -1)[known]
    nll = -logs[np.arange(known.sum()), label[known]].mean()
    on_source[f'loss_seg{suffix}'] = WEIGHTS[f'lambda_seg{suffix}'], nll
    expected = expect_seen(align, outputs[level])
    if align == 'minent':
      # Mean over the pixels, in units of log C.
      value = expected.sum(-1).mean()
      on_target[f'loss_ent{suffix}'] = WEIGHTS[f'lambda_ent{suffix}'], value
      continue
    maps[disc] = expected
    said = method.adversary.learner.apply(
      discs[disc], jnp.asarray(expected, jnp.float32)
    )
    # Low for the source, which the target is to pass for.
    value = np.logaddexp(0, said).mean()
    on_target[f'loss_adv{suffix}'] = WEIGHTS[f'lambda_adv{suffix}'], value
  check(source, on_source)
  check(target, on_target)
  for found in (seen, shown):
    assert found.keys() == maps.keys()
    for disc, expected in maps.items():
      np.testing.assert_allclose(found[disc], expected, atol=1e-5)
