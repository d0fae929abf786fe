"""What image translation minimises: adversarial and cycle losses."""

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import adversarial

KINDS = ('cross_entropy', 'least_squares')
REAL = 1.0
FAKE = 0.0


def check_kind(kind: str) -> None:
  """Checks the name of an adversarial loss.

  Raises:
    UserError: it is none of `KINDS`.
  """
  if kind not in KINDS:
    raise errors.UserError(
      f'method.gan={kind!r}; expected one of {", ".join(KINDS)}'
    )


def judge_as(
  logits: jax.Array, value: float, *, kind: str = 'cross_entropy'
) -> jax.Array:
  """How far a discriminator is from saying `value` everywhere: a mean.

  What a generator minimises is this with `REAL` on what it made, the
  non-saturating form of min log(1 - D).

  Args:
    logits: any shape.
    value: `REAL` or `FAKE`.
    kind: 'cross_entropy' of the logits (Goodfellow et al., 2014), or
      'least_squares' (Mao et al., 2017): (logits - value)^2.
  """
  if kind == 'cross_entropy':
    return adversarial.binary_cross_entropy(logits, value)
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.mean(jnp.square(logits - value))


def discriminator_loss(
  real: jax.Array, fake: jax.Array, *, kind: str = 'cross_entropy'
) -> jax.Array:
  """The sum of a discriminator's losses on real and on made inputs.

  Args:
    real: its logits on what is real.
    fake: its logits on what was made.
    kind: see `judge_as`.
  """
  return judge_as(real, REAL, kind=kind) + judge_as(fake, FAKE, kind=kind)


def cycle_loss(image: jax.Array, returned: jax.Array) -> jax.Array:
  """Mean absolute difference of an image and its way there and back.

  CycleGAN eq. 2. Both [B, H, W, 3] in -1..1.
  """
  return jnp.mean(jnp.abs(returned - image))
