"""Losses for image translation: adversarial and cycle consistency."""

import jax
import jax.numpy as jnp

from jaxuda.losses import adversarial

REAL = 1.0
FAKE = 0.0


def judge_as(
  logits: jax.Array, value: float, *, kind: str = 'cross_entropy'
) -> jax.Array:
  """Returns a discriminator's mean distance from saying `value` everywhere.

  A generator minimises it with `REAL` on its own images, which is the
  non-saturating form of min log(1 - D).

  Args:
    logits: any shape.
    value: `REAL` or `FAKE`.
    kind: 'cross_entropy' of the logits (Goodfellow et al., 2014), or
      'least_squares' (Mao et al., 2017): (logits - value)^2.

  Returns:
    A scalar, float32 or better.

  Example:
    >>> print(judge_as(jnp.array([0.0, 3.0]), REAL, kind='least_squares'))
    2.5
  """
  if kind == 'cross_entropy':
    return adversarial.binary_cross_entropy(logits, value)
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.mean(jnp.square(logits - value))


def discriminator_loss(
  real: jax.Array, fake: jax.Array, *, kind: str = 'cross_entropy'
) -> jax.Array:
  """Returns the sum of a discriminator's losses on real and generated images.

  Args:
    real: its logits on real images, any shape.
    fake: its logits on generated images.
    kind: see `judge_as`.

  Returns:
    A scalar, float32 or better.

  Example:
    (3 - 1)^2 + 0.5^2:

    >>> real, fake = jnp.array([3.0]), jnp.array([0.5])
    >>> print(discriminator_loss(real, fake, kind='least_squares'))
    4.25
  """
  return judge_as(real, REAL, kind=kind) + judge_as(fake, FAKE, kind=kind)


def cycle_loss(image: jax.Array, returned: jax.Array) -> jax.Array:
  """Returns the mean absolute difference of an image and its reconstruction.

  CycleGAN eq. 2.

  Args:
    image: [B, H, W, 3] in -1..1.
    returned: [B, H, W, 3] in -1..1, the image after both generators.

  Returns:
    A scalar.

  Example:
    >>> print(cycle_loss(jnp.zeros((1, 1, 1, 3)), jnp.full((1, 1, 1, 3), 0.5)))
    0.5
  """
  return jnp.mean(jnp.abs(returned - image))
