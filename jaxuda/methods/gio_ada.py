"""GIO-Ada: Geometrically guided Input-Output Adaptation.

Chen, Li, Chen, Van Gool, CVPR 2019 (https://arxiv.org/abs/1812.05040). An image
transform network makes source images look like target ones, guided by labels
and depth (input level, section 3.2); a discriminator sees semantics and depth
together (output level, section 3.3). Eqs. 1 to 3 are their adversarial losses,
L_input and L_output; all four networks are trained at once:

  L_seg + 0.1 L_depth + 0.1 L_input + 0.001 L_output        (eqs. 4 and 5).

Only the task's gradients and the guidance preserve the content of an image:
there is no cycle, identity or reconstruction loss. No official code exists.
Choices that the paper leaves open are fields here, marked "open".
"""

import dataclasses
import types
from typing import Any, Literal

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.losses import translation
from jaxuda.methods import base
from jaxuda.methods.parts import learner as learner_lib
from jaxuda.methods.parts import translator as translator_lib
from jaxuda.models import deeplab
from jaxuda.models import gio_ada
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import guidance
from jaxuda.ops import image as image_ops
from jaxuda.step import optim as optim_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(base.Method):
  """GIO-Ada and the rows of its ablation.

  Attributes:
    optim: Adam for all networks, with an initial rate of 2e-4. Open: betas and
      schedule, here CycleGAN's: constant for the first half, then linear to 0.
      `hold=1` keeps the rate constant; `hold=0, power=0.9` is DeepLab's
      schedule.
    transform: 'guided': the image transform network is trained with the task's
      gradients; 'frozen': it is that of a CycleGAN trained before and is not
      updated (row cg); 'none': the task network sees source images as they are.
    input_label, input_depth: whether the transform network sees, in addition to
      the image, one-hot labels (C channels, all 0 where there is no label) and
      depth (1 channel).
    align: what the output discriminators see: 'joint': one sees softmax and
      depth (C + 1 channels); 'separate': there is one for each; 'semantic',
      'depth': one sees only that output; 'none': there is none.
    lambda_seg, lambda_depth: weights of the task's losses; lambda_depth=0: no
      depth decoder.
    lambda_input, lambda_output: weights of the adversarial losses; the latter
      applies to each output discriminator if there are two (open). The
      discriminators' own losses are unweighted (open).
    output_gradient: open. 'target_only': target outputs must look like the
      source's, as in AdaptSegNet; 'both': eq. 5 to the letter: also the other
      way round, whose gradient reaches the transform network, too.
    input_disc, output_disc: 'patch': the PatchGAN with Gaussian weights, as in
      the paper for both (section 3.5; open: its receptive field, here 70x70
      pixels); 'strided': AdaptSegNet's, without norms; 'local': the same with a
      smaller receptive field, see `translator.Architecture`.
    depth_encoding: open. How depth is mapped to [0, 1], for the loss and as an
      input: 'linear' or 'inverse', see `ops.depth.Scale`.
    depth_near, depth_far: range in metres that depth is clipped to.
    gen_width, gen_blocks, gen_residual: see `models.generators.Generator`; 6
      blocks for small images.
    disc_width: channels of the discriminators' first layer.
    pool_size: number of past generated images that the input discriminator is
      shown again. Open: 0 here, 50 in CycleGAN.
    statistics: which passes update the running statistics of a network with
      batch norms, see `learner.run_passes`. With align='none' the task network
      has no pass on the target: 'target' runs one without a loss, as in AdaBN.
      The paper's VGG-16 has no batch norms: its gains do not come from
      statistics of the target.
  """

  network: deeplab.Options = deeplab.Options(
    backbone='vgg16', decoder='aspp_l', decoder_width=1024, dropout=0.5
  )
  optim: optim_lib.Options = translator_lib.ADAM
  transform: Literal['guided', 'frozen', 'none'] = 'guided'
  input_label: bool = True
  input_depth: bool = True
  align: Literal['joint', 'separate', 'semantic', 'depth', 'none'] = 'joint'
  lambda_seg: float = 1.0
  lambda_depth: float = 0.1
  lambda_input: float = 0.1
  lambda_output: float = 0.001
  output_gradient: Literal['target_only', 'both'] = 'target_only'
  input_disc: translator_lib.Architecture = 'patch'
  output_disc: translator_lib.Architecture = 'patch'
  depth_encoding: Literal['linear', 'inverse'] = 'linear'
  depth_near: float = 0.0
  depth_far: float = 655.35
  gen_width: int = 64
  gen_blocks: int = 9
  gen_residual: float = 0.0
  disc_width: int = 64
  pool_size: int = 0
  statistics: learner_lib.Statistics = 'both'

  # Training may start from a run of source-only training.
  heads = types.MappingProxyType({'layer6': 'semantic'})
  moved = ('decoder', 'decoder_width', 'dropout')

  def __post_init__(self):
    super().__post_init__()
    if not self.lambda_depth and self.align not in ('semantic', 'none'):
      raise errors.UserError(
        'method.lambda_depth=0 builds no depth decoder; expected align=semantic'
        f' or none with it, got {self.align}'
      )
    if self.transform != 'guided' and (self.input_label or self.input_depth):
      raise errors.UserError(
        f'method.transform={self.transform} is not guided; expected'
        ' input_label=False and input_depth=False with it'
      )
    self.depth_scale.check()

  @property
  def needs(self) -> dict[str, tuple[str, ...]]:
    """Labelled source, with depth if it is used; unlabelled target images."""
    depth = ('depth',) if self.lambda_depth or self.input_depth else ()
    adapts = self.transform == 'guided' or self.sees_target
    target = {'target': ('image',)} if adapts else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def trains_on_target(self) -> bool:
    """See `base.Method.trains_on_target`."""
    return self.align != 'none'

  @property
  def task(self) -> gio_ada.GioAda:
    """The task network, the only one that is needed at test time."""
    return gio_ada.GioAda(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
    )

  @property
  def generator(self) -> learner_lib.Learner:
    """The transform network; a frozen one has no optimizer."""
    learner = translator_lib.generator_of(self)
    if self.transform == 'frozen':
      learner = dataclasses.replace(learner, tx=None)
    return learner

  def critic(self, name: str) -> translator_lib.Critic:
    """Returns the discriminator of a name, such as 'disc_input'."""
    at_input = name == 'disc_input'
    architecture = self.input_disc if at_input else self.output_disc
    return translator_lib.critic_of(self, architecture=architecture)

  @property
  def disc_channels(self) -> dict[str, int]:
    """The number of input channels of each discriminator."""
    channels = {'disc_input': 3} if self.transform == 'guided' else {}
    return channels | gio_ada.count_channels(self.align, self.num_classes)

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, gen_key, *disc_keys = jax.random.split(
      key, 2 + len(self.disc_channels)
    )
    image = example['source']['image'][:1]
    nets = {'task': self.learner.create(task_key, image)}
    if self.transform != 'none':
      extra = self.num_classes * self.input_label + self.input_depth
      nets['gen'] = self.generator.create_for(gen_key, 3 + extra)
    for (name, channels), disc_key in zip(
      self.disc_channels.items(), disc_keys, strict=True
    ):
      pooled = image.shape[1:3] if name == 'disc_input' else None
      nets[name] = self.critic(name).create(disc_key, channels, pooled=pooled)
    return state_lib.create(nets)

  @property
  def depth_scale(self) -> depth_ops.Scale:
    """The map from metres to the [0, 1] that the depth loss compares."""
    return depth_ops.Scale(
      encoding=self.depth_encoding, near=self.depth_near, far=self.depth_far
    )

  def transform_image(self, params: Any, source: Any) -> jax.Array:
    """Returns the source as the task network sees it: [B, H, W, 3] in 0..255.

    Args:
      params: parameters of the transform network; not used if there is none.
      source: 'image' and, where they are used, 'label', 'depth', 'depth_valid'.
    """
    if self.transform == 'none':
      return source['image']
    label = source['label'] if self.input_label else None
    depth = None
    if self.input_depth:
      # Pixels without a measurement are as far away as possible.
      depth = self.depth_scale.encode(
        jnp.where(source['depth_valid'], source['depth'], self.depth_far)
      )
    maps = guidance.stack_inputs(
      source['image'], label=label, depth=depth, classes=self.num_classes
    )
    if self.transform == 'frozen':
      params = lax.stop_gradient(params)
    return image_ops.from_symmetric(self.generator.apply(params, maps))

  def fool(self, weight, discs, maps, value, suffix=''):
    """Returns the weighted losses for discriminators to say `value`, by name.

    Target images count as real, and so do the outputs for the source.
    """
    losses = {}
    for name, x in maps.items():
      loss = self.critic(name).fool(discs[name], x, value=value)
      losses[name.replace('disc', 'loss_adv') + suffix] = weight, loss
    return losses

  def source_loss(self, params, batch_stats, discs, source, key):
    """Runs the task and the transform network on the source.

    See `learner.run_passes`. `params` has 'task' and, with a transform network,
    'gen'; `discs` has the parameters of the discriminators. It hands on the
    inputs of the discriminators.
    """
    image = self.transform_image(params.get('gen'), source)
    full, stats = self.learner.run(
      params['task'], batch_stats, image, dropout_key=key
    )
    loss = segmentation.cross_entropy(
      full['logits'], source['label'], axis=self.axis
    )
    losses = {'loss_seg': (self.lambda_seg, loss)}
    if self.lambda_depth:
      loss = depth_losses.absolute(
        full['depth'],
        self.depth_scale.encode(source['depth']),
        mask=source['depth_valid'],
        axis=self.axis,
      )
      losses['loss_depth'] = self.lambda_depth, loss
    maps = gio_ada.align_maps(full, align=self.align)
    if self.output_gradient == 'both':
      losses |= self.fool(
        self.lambda_output, discs, maps, translation.FAKE, '_source'
      )
    if self.transform == 'guided':
      made = {'disc_input': image_ops.to_symmetric(image)}
      losses |= self.fool(self.lambda_input, discs, made, translation.REAL)
      maps |= made
    return losses, stats, maps

  def target_loss(self, params, batch_stats, discs, target, key):
    """Runs the pass that makes target outputs look like the source's."""
    full, stats = self.learner.run(
      params['task'], batch_stats, target['image'], dropout_key=key
    )
    maps = gio_ada.align_maps(full, align=self.align)
    losses = self.fool(self.lambda_output, discs, maps, translation.REAL)
    return losses, stats, maps

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, base.Metrics]:
    """See `base.Method.train_step`; all gradients use the old parameters."""
    source_key, target_key = jax.random.split(
      rng.for_step(key, state.step, parallel.device_index())
    )
    nets, task = dict(state.nets), state.nets['task']
    discs = {k: nets[k].params for k in self.disc_channels}
    params = {k: v.params for k, v in nets.items() if k in ('task', 'gen')}
    passes = [(self.source_loss, discs, batch['source'], source_key)]
    if self.sees_target:
      passes.append((self.target_loss, discs, batch['target'], target_key))
    grads, stats, losses, maps = learner_lib.run_passes(
      params, task.batch_stats, passes, statistics=self.statistics
    )
    nets['task'] = self.learner.update(task, grads['task'], batch_stats=stats)
    # The real and the fake input of every discriminator.
    pairs = {name: [x[name] for x in maps] for name in maps[-1]}
    if self.transform == 'guided':
      nets['gen'] = self.generator.update(nets['gen'], grads['gen'])
      pool_key = jax.random.fold_in(rng.stream(key, 'pool'), state.step)
      nets['disc_input'], made = self.critic('disc_input').recall(
        pool_key, nets['disc_input'], maps[0]['disc_input']
      )
      target = image_ops.to_symmetric(batch['target']['image'])
      pairs['disc_input'] = target, made
    for name in discs:
      nets[name], loss = self.critic(name).update(nets[name], *pairs[name])
      losses[name.replace('disc', 'loss_d')] = loss
    return state.advance(nets), parallel.mean(losses)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`; the task network runs as at test time."""
    del key
    source = batch['source']
    seen = source['image']
    if self.transform != 'none':
      seen = self.translate(state, source)
    out = self.predict(state, seen)
    prediction = jnp.argmax(out['logits'], -1)
    images, depths = {'source': source['image']}, {}
    if self.transform != 'none':
      images['transformed source'] = seen
    if 'target' in batch:
      images['target'] = batch['target']['image']
    if 'depth' in source:
      depths['source depth'] = source['depth']
    if 'depth' in out:
      depths['predicted depth'] = out['depth']
    labels = {'source label': source['label'], 'prediction': prediction}
    return {'image': images, 'label': labels, 'depth': depths}

  def translate(self, state: state_lib.TrainState, source: Any) -> jax.Array:
    """Returns the transformed source; see `transform_image`."""
    return self.transform_image(state.nets['gen'].params, source)

  predict = base.predict_task

  def restore_depth(self, values: jax.Array) -> jax.Array:
    """See `base.Method.restore_depth`."""
    return self.depth_scale.decode(values)
