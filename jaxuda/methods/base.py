"""What a method is. Documentation only: methods do not inherit from it."""

from collections.abc import Mapping
from typing import Protocol

import jax

from jaxuda.models import deeplab
from jaxuda.step import state as state_lib

Batch = Mapping[str, Mapping[str, jax.Array]]


class Method(Protocol):
  """A frozen, keyword-only dataclass of hyper-parameters, and three functions.

  An ablation is a field. Branch on it in Python, so that what is off is absent
  from the compiled program. A method that needs something of the data as a
  whole names the module that makes it, `preparation`, see
  `jaxuda.train.preparation`.
  """

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """What a training batch must hold: {'source': ('image', 'label', ...)}.

    The pipeline reads exactly this and nothing else from disk. 'depth' brings
    'depth_valid' along.
    """

  def init(self, key: jax.Array, example: Batch) -> state_lib.TrainState:
    """Returns the state before the first step. Runs under jit.

    Args:
      key: typed key.
      example: a batch; only its shapes and dtypes matter.
    """

  def train_step(
    self, state: state_lib.TrainState, batch: Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """Takes one step. Pure, per device, under a mapped axis.

    Args:
      state: the whole state, equal on every device.
      batch: this device's share. 'image' uint8 [B, H, W, 3] RGB; 'label' int32
        [B, H, W], 255 = ignore; 'depth' float32 [B, H, W] metres; 'depth_valid'
        bool [B, H, W].
      key: the root key of the run; fold in step and device with `rng.for_step`.

    Returns:
      The new state and scalars by name ('loss_<term>'), both equal on every
      device.
    """

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Runs the evaluated network with running statistics.

    Left out by a method without a segmentation, which is then not evaluated.

    Args:
      state: a training state.
      image: uint8 [B, H, W, 3] RGB.
      size: (h, w) of the outputs; that of the image if None; 'grid': as low as
        the network gives them. Logits are upsampled once, straight to it.

    Returns:
      'logits' float32 [B, h, w, C], and 'depth' float32 [B, h, w] metres where
      the network has a depth output.
    """

  def translate(
    self, state: state_lib.TrainState, source: Mapping[str, jax.Array]
  ) -> jax.Array:
    """Transforms source images. Left out by methods that do no such thing.

    Args:
      state: a training state.
      source: a batch's.

    Returns:
      float [B, H, W, 3] RGB in 0..255.
    """

  def pictures(
    self, state: state_lib.TrainState, batch: Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """Shows what the method makes of a training batch. May be left out.

    Args:
      state: a training state.
      batch: one device's share, as in `train_step`.
      key: the root key of the run.

    Returns:
      kind -> heading -> maps, where the kind says how they are painted: 'image'
      [B, H, W, 3] RGB in 0..255, 'label' int [B, H, W], 'depth' [B, H, W]
      metres, 'share' [B, H, W] in 0..1.
    """
