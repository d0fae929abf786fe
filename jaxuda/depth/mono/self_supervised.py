"""Monodepth2: depth from image sequences without any ground truth.

Godard, Mac Aodha, Firman and Brostow, "Digging into self-supervised monocular
depth estimation", ICCV 2019. A depth network and a pose network are trained so
that the neighbouring frames, warped by their outputs, predict the frame between
them (eq. 1).

Where the paper and the official code differ, the code is followed. Our own
additions are fields that are off by default: known motions, and leaving out the
finest scales for small networks.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Literal

from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxuda import errors
from jaxuda.losses import photometric
from jaxuda.models import monodepth
from jaxuda.ops import augment
from jaxuda.ops import warp
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.step import state as state_lib

# The frames before and after the predicted one.
NEIGHBOURS = ('previous', 'next')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """A depth and a pose network, and how they are trained.

  Attributes:
    total_steps: length of the schedule, steps.
    network: depth and pose network, a key of `models.monodepth.SIZES`; resnet18
      in the paper, initialised with ImageNet weights there.
    scales: scales of the disparities, where 0 is the finest; all are compared
      at full resolution.
    min_depth: smallest depth of the sigmoid, > 0, in an unknown unit, or in
      metres if the motion is known.
    max_depth: largest depth of the sigmoid, in the same unit.
    ssim_weight: weight of SSIM in the photometric error, 0..1.
    lambda_smooth: weight of the smoothness loss, halved at every coarser scale.
    reprojection: 'minimum' (eq. 4) or 'mean' over the neighbours.
    auto_mask: whether to leave out pixels that do not move (eq. 5).
    motion: 'learned' by the pose network, or 'known' from the data.
    rotation_scale: factor of the rotations that the pose network outputs; 0.01
      in the paper. A network trained from scratch that rotates easily mistakes
      the motion of the ground for a pitch of the camera, and masks the rest.
    jitter: strength of the colour jitter, half as strong for the hue, that half
      of the examples get as input of the networks; 0.2 in the paper. The losses
      use the original images.
    learning_rate: learning rate of Adam.
    drop_at: share of the steps after which the learning rate drops to a tenth;
      15 of 20 epochs in the paper.
    warmup_steps: length of the warm-up of the learning rate; 0 in the paper.
  """

  total_steps: int
  network: str = 'resnet18'
  scales: Sequence[int] = (0, 1, 2, 3)
  min_depth: float = 0.1
  max_depth: float = 100.0
  ssim_weight: float = 0.85
  lambda_smooth: float = 1e-3
  reprojection: Literal['minimum', 'mean'] = 'minimum'
  auto_mask: bool = True
  motion: Literal['learned', 'known'] = 'learned'
  rotation_scale: float = 0.01
  jitter: float = 0.2
  learning_rate: float = 1e-4
  drop_at: float = 0.75
  warmup_steps: int = 0

  def __post_init__(self):
    object.__setattr__(self, 'scales', tuple(self.scales))
    monodepth.size(self.network)
    errors.check_choices(self, group='method')
    if not self.scales or not set(self.scales) <= {0, 1, 2, 3}:
      raise errors.UserError(
        f'method.scales={self.scales}; expected some of 0, 1, 2, 3'
      )
    if not 0 < self.min_depth < self.max_depth:
      raise errors.UserError(
        f'method.min_depth={self.min_depth}; expected more than 0 and less than'
        f' max_depth={self.max_depth}'
      )

  @property
  def needs(self) -> tuple[str, ...]:
    """Names of the arrays in a training batch."""
    motions = [f'motion_{x}' for x in NEIGHBOURS]
    known = motions if self.motion == 'known' else []
    return ('image', *NEIGHBOURS, 'intrinsics', *known)

  @property
  def depth_net(self) -> nn.Module:
    """The depth network."""
    return monodepth.DepthNet(size=self.network, scales=self.scales)

  @property
  def pose_net(self) -> nn.Module:
    """The pose network."""
    return monodepth.PoseNet(
      size=self.network, rotation_scale=self.rotation_scale
    )

  @property
  def tx(self) -> optax.GradientTransformation:
    """Adam with a step in its learning rate."""

    def rate(step):
      late = step >= self.drop_at * self.total_steps
      value = self.learning_rate * jnp.where(late, 0.1, 1.0)
      if self.warmup_steps:
        value = value * jnp.minimum((step + 1) / self.warmup_steps, 1)
      return value

    return optax.adam(rate)

  def init(
    self, key: jax.Array, example: Mapping[str, jax.Array]
  ) -> state_lib.TrainState:
    """Returns the state before the first step. Runs under jit.

    Args:
      key: typed PRNG key.
      example: a batch, of which only the shapes matter.
    """
    image = jnp.zeros((1, *example['image'].shape[1:]), jnp.float32)
    one, two = jax.random.split(key)
    variables = {'depth': self.depth_net.init(one, image)}
    if self.motion == 'learned':
      variables['pose'] = self.pose_net.init(two, image, image)
    return state_lib.create(
      {k: state_lib.create_net(v, self.tx) for k, v in variables.items()}
    )

  def train_step(
    self,
    state: state_lib.TrainState,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """Takes one step. Pure, per device, under a mapped axis.

    Args:
      state: the whole state, equal on every device.
      batch: this device's share of the batch: 'image', 'previous', 'next' uint8
        [B, H, W, 3] RGB; 'intrinsics' float32 [B, 4]; with known motion also
        'motion_previous' and 'motion_next' float32 [B, 4, 4].
      key: the root key of the run.

    Returns:
      (the new state; the losses 'loss_photometric' and 'loss_smooth', and
      'moving', the share of pixels that are not masked at the finest scale).
    """
    key = rng.for_step(key, state.step, parallel.device_index())
    names = ('image', *NEIGHBOURS)
    views = {x: batch[x].astype(jnp.float32) / 255 for x in names}
    seen = views
    if self.jitter:
      seen = self._jitter(rng.stream(key, 'jitter'), views)
    ties = rng.stream(key, 'ties')
    noise = 1e-5 * jax.random.normal(ties, batch['image'].shape[:3])

    def loss(params):
      net, image = self.depth_net, seen['image']
      disparities, stats = _apply(net, 'depth', state, params, image)
      motions, more = self._predict_motions(state, params, seen, batch)
      total, losses = self._compare(disparities, motions, views, batch, noise)
      return total, (losses, stats | more)

    params = {name: net.params for name, net in state.nets.items()}
    grads, (losses, stats) = jax.grad(loss, has_aux=True)(params)
    nets = {
      name: state_lib.update(net, grads[name], self.tx, batch_stats=stats[name])
      for name, net in state.nets.items()
    }
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def _jitter(self, key, views):
    """Jitters the colours of half of the examples, alike in all their views."""
    count = len(views['image'])
    gate, order, factors = jax.random.split(key, 3)
    draws = jax.vmap(lambda k: augment.draw_jitter(k, strength=self.jitter))(
      jax.random.split(factors, count)
    )
    factors = draws | {'hue': draws['hue'] / 2}
    changed = jax.random.bernoulli(gate, 0.5, (count, 1, 1, 1))
    orders = jax.vmap(lambda k: jax.random.permutation(k, 4))(
      jax.random.split(order, count)
    )

    def change(view):
      moved = augment.apply_jitter(
        255 * view, factors, order=orders, mode='standard'
      )
      return jnp.where(changed, moved / 255, view)

    return {name: change(view) for name, view in views.items()}

  def _predict_motions(self, state, params, seen, batch):
    """Returns motions from the frame to its neighbours, and running stats."""
    if self.motion == 'known':
      return [batch[f'motion_{x}'] for x in NEIGHBOURS], {}
    # The network sees frames in temporal order, both pairs in one batch.
    before, now, after = (seen[x] for x in ('previous', 'image', 'next'))
    first = jnp.concatenate([before, now])
    second = jnp.concatenate([now, after])
    pose, stats = _apply(self.pose_net, 'pose', state, params, first, second)
    arriving, leaving = jnp.split(warp.rigid_motion(*pose), 2)
    return [warp.invert_motion(arriving), leaving], stats

  def _compare(self, disparities, motions, views, batch, noise):
    """Returns the loss of eq. 6, averaged over scales, and its terms."""
    image = views['image']
    still = []
    if self.auto_mask:
      still = [self._error(views[x], image) for x in NEIGHBOURS]
    photo, smooth, moving = [], [], {}
    for scale, disparity in disparities.items():
      full = jax.image.resize(disparity, image.shape[:3], 'bilinear')
      depth = self._depth(full)
      moved = []
      for name, motion in zip(NEIGHBOURS, motions, strict=True):
        pixels, _ = warp.project_depth(depth, batch['intrinsics'], motion)
        seen = warp.sample_bilinear(views[name], pixels)
        moved.append(self._error(seen, image))
      if self.reprojection == 'mean':
        moved = [sum(moved) / len(moved)]
        still = [sum(still) / len(still)] if still else []
      term, moving[scale] = photometric.minimum_reprojection(
        moved, still, noise=noise
      )
      photo.append(term)
      small = jax.image.resize(image, (*disparity.shape, 3), 'linear')
      rough = photometric.edge_aware_smoothness(disparity, small)
      smooth.append(rough / 2**scale)
    losses = {
      'loss_photometric': sum(photo) / len(photo),
      'loss_smooth': sum(smooth) / len(smooth),
      'moving': moving[min(moving)],
    }
    total = losses['loss_photometric']
    return total + self.lambda_smooth * losses['loss_smooth'], losses

  def _error(self, prediction, image):
    return photometric.photometric_error(
      prediction, image, ssim_weight=self.ssim_weight
    )

  def _depth(self, disparity):
    return 1 / monodepth.scaled_disparity(
      disparity, min_depth=self.min_depth, max_depth=self.max_depth
    )

  def predict(
    self, state: state_lib.TrainState, image: jax.Array
  ) -> dict[str, jax.Array]:
    """Runs the depth network with its running statistics.

    Args:
      state: a training state.
      image: uint8 [B, H, W, 3] RGB.

    Returns:
      'disparity' float32 [B, h, w] in 0..1, the sigmoid at the finest scale,
      and 'depth' [B, h, w], in the unit of the motions (arbitrary unless they
      are known).
    """
    net = state.nets['depth']
    disparities = self.depth_net.apply(
      {'params': net.params, 'batch_stats': net.batch_stats},
      image.astype(jnp.float32) / 255,
    )
    disparity = disparities[min(disparities)]
    return {'disparity': disparity, 'depth': self._depth(disparity)}


def _apply(net, name, state, params, *images):
  """Runs a network in training mode; returns outputs and new running stats."""
  stats = state.nets[name].batch_stats
  variables = {'params': params[name], 'batch_stats': stats}
  out, moved = net.apply(
    variables, *images, train=True, mutable=['batch_stats']
  )
  return out, {name: moved['batch_stats']}
