"""GIO-Ada: Geometrically guided Input-Output Adaptation.

Chen, Li, Chen, Van Gool, CVPR 2019 (https://arxiv.org/abs/1812.05040). An image
transform network makes source images look like target ones, guided by labels
and depth (input level, section 3.2); a discriminator sees semantics and depth
together (output level, section 3.3); all four networks are trained at once:

  L_seg + 0.1 L_depth + 0.1 L_input + 0.001 L_output        (eqs. 4 and 5).

Nothing but the task's gradients and the guidance holds the content of an image:
there is no cycle, identity or reconstruction loss. No official code exists.
What the paper leaves open is a field here, and its docstring says so.
"""

import dataclasses
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.losses import adversarial
from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation
from jaxuda.losses import translation
from jaxuda.methods import base
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

_CHOICES = {
  'transform': ('guided', 'frozen', 'none'),
  'align': tuple(gio_ada.ALIGNMENTS),
  'output_gradient': ('target_only', 'both'),
  'input_disc': translator_lib.DISCRIMINATORS,
  'output_disc': translator_lib.DISCRIMINATORS,
  'depth_encoding': depth_ops.ENCODINGS,
  'decoder': gio_ada.DECODERS,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """GIO-Ada and the rows of its ablation.

  Attributes:
    num_classes: C.
    total_steps: length of the schedules.
    network, optim: see their `Options`. All networks: Adam, initial rate 2e-4.
      Open: betas and schedule, CycleGAN's here: constant for one half, linear
      to 0 in the other. `hold=1` is constant, `hold=0, power=0.9` DeepLab's.
    transform: 'guided': the image transform network is trained with the task's
      gradients; 'frozen': it is a CycleGAN's, trained before, and stays as it
      is (row cg); 'none': the task network sees source images as they are.
    input_label, input_depth: what the transform network sees beside the image:
      one-hot labels (C channels, all 0 where there is no label), depth (1).
    align: what the output discriminators see: 'joint': one sees softmax and
      depth (C + 1 channels); 'separate': one each; 'semantic', 'depth': one of
      the two alone; 'none'.
    lambda_seg, lambda_depth: weights of the task's losses; lambda_depth=0: no
      depth decoder.
    lambda_input, lambda_output: weights of the adversarial losses; the latter
      of each discriminator where there are two (open). Discriminators' own
      losses have none (open).
    output_gradient: open. 'target_only': target outputs are to look like the
      source's, as in AdaptSegNet; 'both': eq. 5 to the letter: also the other
      way round, which reaches the transform network, too.
    input_disc, output_disc: 'patch': the 70x70 PatchGAN, the paper's at the
      input; 'strided' (output: open): AdaptSegNet's, without norms; 'local':
      the same, seeing less, see `translator.DISCRIMINATORS`.
    depth_encoding: open. How depth is brought to [0, 1], for the loss and as an
      input: 'linear' or 'inverse', see `ops.depth.Scale`.
    depth_near, depth_far: metres that this clips to.
    decoder: 'aspp_l' (DeepLab's for VGG) or 'aspp', see `models.gio_ada`.
    decoder_width, dropout: of 'aspp_l': 1024 and 1/2 in DeepLab.
    gen_width, gen_blocks, gen_residual: see `models.generators.Generator`; 6
      blocks for small images.
    disc_width: of the discriminators.
    pool_size: images that the input discriminator is shown again. Open: none
      here; CycleGAN has 50.
    statistics: which forward passes move the running statistics of a network
      with batch norms (VGG-16 has none): 'both' or 'target', see
      `methods.dada`.
  """

  num_classes: int
  total_steps: int
  network: deeplab.Options = deeplab.Options(backbone='vgg16')
  optim: optim_lib.Options = translator_lib.ADAM
  transform: str = 'guided'
  input_label: bool = True
  input_depth: bool = True
  align: str = 'joint'
  lambda_seg: float = 1.0
  lambda_depth: float = 0.1
  lambda_input: float = 0.1
  lambda_output: float = 0.001
  output_gradient: str = 'target_only'
  input_disc: str = 'patch'
  output_disc: str = 'strided'
  depth_encoding: str = 'linear'
  depth_near: float = 0.0
  depth_far: float = 655.35
  decoder: str = 'aspp_l'
  decoder_width: int = 1024
  dropout: float = 0.5
  gen_width: int = 64
  gen_blocks: int = 9
  gen_residual: float = 0.0
  disc_width: int = 64
  pool_size: int = 0
  statistics: str = 'both'

  def __post_init__(self):
    for field, choices in _CHOICES.items():
      value = getattr(self, field)
      if value not in choices:
        raise errors.UserError(
          f'method.{field}={value!r}; expected one of {", ".join(choices)}'
        )
    adversarial.check_statistics(self.statistics)
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
    """Labelled source, with depth where it is used; target images alone."""
    depth = ('depth',) if self.lambda_depth or self.input_depth else ()
    adapts = self.transform == 'guided' or self.align != 'none'
    target = {'target': ('image',)} if adapts else {}
    return {'source': ('image', 'label', *depth), **target}

  @property
  def task(self) -> gio_ada.GioAda:
    """The task network, all that is left at test time."""
    return gio_ada.GioAda(
      classes=self.num_classes,
      options=self.network,
      depth=bool(self.lambda_depth),
      decoder=self.decoder,
      width=self.decoder_width,
      dropout=self.dropout,
    )

  @property
  def translator(self) -> translator_lib.Translator:
    """The transform network and all discriminators."""
    return translator_lib.Translator(
      network=self.network,
      optim=self.optim,
      total_steps=self.total_steps,
      gen_width=self.gen_width,
      gen_blocks=self.gen_blocks,
      gen_residual=self.gen_residual,
      disc_width=self.disc_width,
      pool_size=self.pool_size,
    )

  @property
  def task_tx(self):
    """The task network's optimizer."""
    return optim_lib.task_optimizer(
      self.optim, self.network, total_steps=self.total_steps
    )

  @property
  def disc_channels(self) -> dict[str, int]:
    """Input channels of each discriminator there is."""
    channels = {'disc_input': 3} if self.transform == 'guided' else {}
    return channels | gio_ada.count_channels(self.align, self.num_classes)

  def init(self, key: jax.Array, example: base.Batch) -> state_lib.TrainState:
    """See `base.Method.init`."""
    task_key, gen_key, *disc_keys = jax.random.split(
      key, 2 + len(self.disc_channels)
    )
    image = example['source']['image'][:1]
    nets = {
      'task': state_lib.create_net(
        self.task.init(task_key, image), self.task_tx
      )
    }
    if self.transform != 'none':
      extra = self.num_classes * self.input_label + self.input_depth
      nets['gen'] = self.translator.create_generator(
        gen_key, 3 + extra, trained=self.transform == 'guided'
      )
    for (name, channels), disc_key in zip(
      self.disc_channels.items(), disc_keys, strict=True
    ):
      nets[name] = self.translator.create_discriminator(
        disc_key,
        channels,
        disc=self.disc_kind(name),
        pooled=image.shape[1:3] if name == 'disc_input' else None,
      )
    return state_lib.create(nets)

  @property
  def depth_scale(self) -> depth_ops.Scale:
    """How metres become what the depth loss compares, in [0, 1]."""
    return depth_ops.Scale(
      encoding=self.depth_encoding, near=self.depth_near, far=self.depth_far
    )

  def transform_image(self, params: Any, source: Any) -> jax.Array:
    """The source as the task network sees it: float [B, H, W, 3] in 0..255.

    Args:
      params: of the transform network; not used without one.
      source: 'image' and, as they are used, 'label', 'depth', 'depth_valid'.
    """
    if self.transform == 'none':
      return source['image']
    label = source['label'] if self.input_label else None
    depth = None
    if self.input_depth:
      # Where nothing was measured it is as far as it gets.
      depth = self.depth_scale.encode(
        jnp.where(source['depth_valid'], source['depth'], self.depth_far)
      )
    maps = guidance.stack_inputs(
      source['image'], label=label, depth=depth, classes=self.num_classes
    )
    if self.transform == 'frozen':
      params = lax.stop_gradient(params)
    return image_ops.from_symmetric(self.translator.translate(params, maps))

  def disc_kind(self, name: str) -> str:
    """What the discriminator 'disc_input', ... is."""
    return self.input_disc if name == 'disc_input' else self.output_disc

  def fool(self, discs, maps, value, suffix=''):
    """The loss that makes each discriminator say `value`, by its name.

    Real are target images, and the outputs for the source.
    """
    return {
      f'{name.replace("disc", "loss_adv")}{suffix}': self.translator.fool(
        discs[name], x, value=value, disc=self.disc_kind(name)
      )
      for name, x in maps.items()
    }

  def source_loss(self, params, discs, batch_stats, source, key):
    """Supervised and adversarial losses of the task and transform network.

    Args:
      params: {'task': ..., 'gen': ...}, the latter where there is one.
      discs: parameters of the discriminators by name.
      batch_stats: running statistics of the task network.
      source: of the batch.
      key: of this step and device.

    Returns:
      (total, (terms, running statistics, what the discriminators see)).
    """
    image = self.transform_image(params.get('gen'), source)
    full, stats = gio_ada.run(
      self.task, params['task'], batch_stats, image, dropout_key=key
    )
    terms = {
      'loss_seg': segmentation.cross_entropy(full['logits'], source['label'])
    }
    total = self.lambda_seg * terms['loss_seg']
    if self.lambda_depth:
      terms['loss_depth'] = depth_losses.absolute(
        full['depth'],
        self.depth_scale.encode(source['depth']),
        mask=source['depth_valid'],
      )
      total = total + self.lambda_depth * terms['loss_depth']
    maps = gio_ada.align_maps(full, align=self.align)
    if self.output_gradient == 'both':
      fooled = self.fool(discs, maps, translation.FAKE, '_source')
      total = total + self.lambda_output * sum(fooled.values())
      terms |= fooled
    if self.transform == 'guided':
      made = {'disc_input': image_ops.to_symmetric(image)}
      fooled = self.fool(discs, made, translation.REAL)
      total = total + self.lambda_input * sum(fooled.values())
      terms, maps = terms | fooled, maps | made
    return total, (terms, stats, lax.stop_gradient(maps))

  def target_loss(self, params, discs, batch_stats, target, key):
    """Target outputs shall look like the source's; see `source_loss`."""
    full, stats = gio_ada.run(
      self.task, params, batch_stats, target['image'], dropout_key=key
    )
    maps = gio_ada.align_maps(full, align=self.align)
    terms = self.fool(discs, maps, translation.REAL)
    total = self.lambda_output * sum(terms.values())
    return total, (terms, stats, lax.stop_gradient(maps))

  def train_step(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, dict[str, jax.Array]]:
    """See `base.Method.train_step`; all gradients at the old parameters."""
    source_key, target_key = jax.random.split(
      rng.for_step(key, state.step, parallel.device_index())
    )
    nets, task = dict(state.nets), state.nets['task']
    discs = {k: nets[k].params for k in self.disc_channels}
    params = {k: v.params for k, v in nets.items() if k in ('task', 'gen')}
    grads, (losses, stats, source_maps) = jax.grad(
      self.source_loss, has_aux=True
    )(params, discs, task.batch_stats, batch['source'], source_key)
    target_maps = {}
    if self.align != 'none':
      if self.statistics == 'target':
        stats = task.batch_stats
      # The source's activations are gone before the target's are made.
      params, grads = lax.optimization_barrier((params, grads))
      more, (terms, stats, target_maps) = jax.grad(
        self.target_loss, has_aux=True
      )(params['task'], discs, stats, batch['target'], target_key)
      grads['task'] = jax.tree.map(jnp.add, grads['task'], more)
      losses |= terms
    nets['task'] = state_lib.update(
      task, grads['task'], self.task_tx, batch_stats=stats
    )
    if self.transform == 'guided':
      nets['gen'] = state_lib.update(
        nets['gen'], grads['gen'], self.translator.gen_tx
      )
      pool_key = jax.random.fold_in(rng.stream(key, 'pool'), state.step)
      nets['disc_input'], made = self.translator.recall(
        pool_key, nets['disc_input'], source_maps['disc_input']
      )
      target = image_ops.to_symmetric(batch['target']['image'])
      source_maps['disc_input'], target_maps['disc_input'] = target, made
    for name in discs:
      nets[name], loss = self.translator.update(
        nets[name],
        source_maps[name],
        target_maps[name],
        disc=self.disc_kind(name),
      )
      losses[name.replace('disc', 'loss_d')] = loss
    state = state.replace(step=state.step + 1, nets=nets)
    return state, parallel.mean(losses)

  def pictures(
    self, state: state_lib.TrainState, batch: base.Batch, key: jax.Array
  ) -> dict[str, dict[str, jax.Array]]:
    """See `base.Method.pictures`; the task network is that of test time."""
    del key
    source = batch['source']
    seen = source['image']
    if self.transform != 'none':
      seen = self.translate(state, source)
    out = self.predict(state, seen)
    prediction = jnp.argmax(out['logits'], -1)
    shown = {
      'image': {'source': source['image']},
      'label': {'source label': source['label'], 'prediction': prediction},
      'depth': {},
    }
    if self.transform != 'none':
      shown['image']['transformed source'] = seen
    if 'target' in batch:
      shown['image']['target'] = batch['target']['image']
    if 'depth' in source:
      shown['depth']['source depth'] = source['depth']
    if 'depth' in out:
      shown['depth']['predicted depth'] = out['depth']
    return shown

  def translate(self, state: state_lib.TrainState, source: Any) -> jax.Array:
    """Returns the transformed source; see `transform_image`."""
    return self.transform_image(state.nets['gen'].params, source)

  def predict(
    self,
    state: state_lib.TrainState,
    image: jax.Array,
    *,
    size: deeplab.Size = None,
  ) -> dict[str, jax.Array]:
    """Evaluates the task network; see `base.Method.predict`."""
    net, restore = state.nets['task'], self.depth_scale.decode
    return deeplab.predict(self.task, net, image, size=size, restore=restore)
