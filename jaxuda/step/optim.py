"""Optimizers: the references' SGD as it really runs, AdamW and Adam."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import re
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxuda import errors
from jaxuda.step import by_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """SGD for the task network, Adam for discriminators, poly decay for both.

  Attributes:
    name: optimizer of the task network: 'sgd' in all references, or 'adamw'
      (Loshchilov & Hutter, 2019), which adapts the rate to each layer: a
      network trained from scratch with DADA's fusion needs that.
    learning_rate: rate of the task network's backbone, 2.5e-4 in all
      references.
    warmup_steps: number of initial steps whose rates are also multiplied by a
      factor that rises linearly to 1, see `poly_schedule`; 0 in the references,
      1500 in DAFormer.
    warmup_ratio: the value from which that factor rises, 0..1: 1e-6 in
      DAFormer, HRDA and MIC. With 0 it is 1 / warmup_steps in the first step.
    betas: decay rates of AdamW, unused by SGD.
    momentum: momentum of SGD, unused by AdamW.
    weight_decay: 5e-4 in the official code, 1e-4 in DADA's paper. AdamW's is
      decoupled: multiplied by the rate, not part of the gradient. 0.01 in
      DAFormer, HRDA, MIC and VFM-UDA.
    no_decay: parts of names; a parameter whose path (as in
      'backbone/stage1_block0/norm1/scale') has one of them is not decayed.
      DAFormer, HRDA and MIC have 'norm', which is in the names of a MiT's norms
      and not of its decoder's ('bn'); biases and positions are decayed. A name
      that no parameter has changes nothing. For AdamW only.
    layer_decay: rate of a transformer's block divided by that of the next one,
      see `by_name.layers_after`; 1 for none, 0.9 in VFM-UDA++. For AdamW only.
    head_multiplier: rate of everything but the backbone, relative to the
      backbone's: 10 in AdaptSegNet, ADVENT and DADA's code, 1 in DADA's paper.
    repeats: 'reference': every parameter is stepped as often as the official
      parameter list names it: stem 1, block convolutions 3, shortcut
      convolutions 4, heads 1, as a current PyTorch runs the official code.
      'torch1.2': the same, as the PyTorch of the papers' time ran it, see
      `repeated_sgd`. 'plain': everything once, as the papers say. AdamW is
      always plain.
    power: exponent of the poly schedule base * (1 - step / total) ** power.
    hold: share of all steps, 0..1, during which every rate stays constant; the
      decay takes the rest. 0 in the references; 0.5, with power 1, in CycleGAN.
    disc_learning_rate: rate of the discriminators' Adam.
    disc_betas: decay rates of the discriminators' and generators' Adam.
    gen_learning_rate: rate of the generators' Adam; 0 for the discriminators'
      rate, as in CycleGAN.
  """

  name: Literal['sgd', 'adamw'] = 'sgd'
  learning_rate: float = 2.5e-4
  warmup_steps: int = 0
  warmup_ratio: float = 0.0
  betas: Sequence[float] = (0.9, 0.999)
  momentum: float = 0.9
  weight_decay: float = 5e-4
  no_decay: Sequence[str] = ()
  layer_decay: float = 1.0
  head_multiplier: float = 10.0
  repeats: Literal['reference', 'torch1.2', 'plain'] = 'reference'
  power: float = 0.9
  hold: float = 0.0
  disc_learning_rate: float = 1e-4
  disc_betas: Sequence[float] = (0.9, 0.99)
  gen_learning_rate: float = 0.0

  def __post_init__(self):
    if isinstance(self.no_decay, str):
      raise errors.UserError(
        f'optim.no_decay={self.no_decay!r}; expected a list of names'
      )
    # Lists (from a config file) would make the options unhashable.
    for field in ('betas', 'disc_betas', 'no_decay'):
      object.__setattr__(self, field, tuple(getattr(self, field)))
    errors.check_choices(self, group='optim')
    errors.check_vectors(self, {'betas': 2, 'disc_betas': 2}, group='optim')
    rates = ('learning_rate', 'disc_learning_rate', 'gen_learning_rate')
    others = ('warmup_steps', 'weight_decay', 'head_multiplier', 'power')
    ranges = {
      **dict.fromkeys((*rates, *others), (0, None)),
      **dict.fromkeys(('momentum', 'hold', 'warmup_ratio'), (0, 1)),
      'layer_decay': (0, 1),
    }
    errors.check_ranges(self, ranges, group='optim')
    for field, off in (('no_decay', ()), ('layer_decay', 1)):
      value = getattr(self, field)
      if self.name != 'adamw' and value != off:
        raise errors.UserError(
          f'optim.{field}={value}; expected {off} with optim.name={self.name}'
        )


def poly_schedule(
  base: float,
  *,
  total_steps: int,
  power: float,
  warmup_steps: int = 0,
  warmup_ratio: float = 0.0,
  hold: float = 0.0,
) -> Callable[[jax.Array], jax.Array]:
  """Returns step -> base * (1 - step / total_steps) ** power, 0 at the end.

  The warm-up multiplies that, so that the first rate after it is the decayed
  one, not `base`. DAFormer's schedule, with base 6e-5, power 1, 40,000 steps
  and 1500 of warm-up from 1e-6, is 6e-5 * (1 - t / 40000) * (1 -
  (1 - t / 1500) * (1 - 1e-6)) at step t < 1500. For a linear warm-up followed
  by the decay, set `hold` = warmup_steps / total_steps.

  Args:
    base: the rate at step 0 when there is no warm-up.
    total_steps: step at which the rate reaches 0.
    power: exponent of the decay.
    warmup_steps: number of initial steps whose rates are also multiplied by
      1 - (1 - step / warmup_steps) * (1 - warmup_ratio).
    warmup_ratio: 0..1; with 0 they are multiplied by (step + 1) / warmup_steps.
    hold: share of the steps, 0..1, for which the rate stays `base`; the formula
      applies to the steps after them.
  """
  held = round(hold * total_steps)

  def schedule(step):
    # The default float: float64 if that is switched on.
    step = jnp.asarray(step, jnp.result_type(float))
    decaying = max(total_steps - held, 1)
    left = jnp.clip(1 - (step - held) / decaying, 0, 1)
    rate = base * left**power
    if warmup_steps and warmup_ratio:
      # Their 1 - (1 - t / T) * (1 - r), in which single precision would keep
      # only two digits of r.
      risen = jnp.minimum(step / warmup_steps, 1)
      rate = rate * (risen + (1 - risen) * warmup_ratio)
    elif warmup_steps:
      rate = rate * jnp.minimum((step + 1) / warmup_steps, 1)
    return rate

  return schedule


class RepeatedSgdState(NamedTuple):
  """Steps taken, and the momentum buffers."""

  count: jax.Array
  trace: Any


def repeated_sgd(
  learning_rate: Callable[[jax.Array], jax.Array],
  *,
  momentum: float,
  weight_decay: float,
  repeats: int = 1,
  legacy: bool = False,
) -> optax.GradientTransformation:
  """Returns PyTorch's SGD for parameters that its list names several times.

  Each mention takes one more step with the same gradient: the decay is added to
  it, and the momentum buffer and the parameter are updated. For a constant
  gradient g the parameter ends up moving by 10 * repeats * lr * g per call at
  momentum 0.9. `repeats=1` is plain PyTorch SGD. On the very first call each
  mention starts its own momentum buffer, and the last one is kept: PyTorch
  looks up all buffers before its loop.

  Args:
    learning_rate: step -> rate.
    momentum: momentum, without dampening or Nesterov's correction.
    weight_decay: factor of the parameter that is added to the gradient before
      the momentum.
    repeats: number of mentions of every parameter.
    legacy: behave as PyTorch 1.2 and older: the decay stays in the gradient for
      the next mention (6 and 10 times the decay for 3 and 4 mentions), and the
      buffer is shared from the first call on.
  """

  def init(params):
    return RepeatedSgdState(
      jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params)
    )

  def step(grad, trace, param, rate, first):
    start = param
    for _ in range(repeats):
      decayed = grad + weight_decay * param
      if legacy:
        grad = decayed
      elif repeats > 1:
        trace = jnp.where(first, 0, trace)
      trace = momentum * trace + decayed
      param = param - rate * trace
    return param - start, trace

  def update(grads, state, params=None):
    rate, first = learning_rate(state.count), state.count == 0
    # Over leaves: a group may have none, such as that of the shortcuts in a
    # backbone that has no convolutions there.
    leaves = (jax.tree.leaves(x) for x in (grads, state.trace, params))
    moved = [
      step(g, t, p, rate.astype(p.dtype), first)
      for g, t, p in zip(*leaves, strict=True)
    ]
    updates, trace = (
      jax.tree.structure(grads).unflatten([pair[i] for pair in moved])
      for i in range(2)
    )
    return updates, RepeatedSgdState(state.count + 1, trace)

  return optax.GradientTransformation(init, update)


def labels_of(params: Any, *, train_affine: bool, active_rates: int = 0) -> Any:
  """Returns the tree of groups: stem, block, shortcut, head, frozen.

  A 'frozen' parameter is never touched. In a backbone that is not a ResNet
  everything is 'stem', which the lists name once.

  Args:
    params: parameters of a task network.
    train_affine: whether scale and bias of the backbone's norms are trained;
      those of a head's norms always are.
    active_rates: how many dilations of the ASPP heads are used; 0 for all. The
      others have no gradient, and PyTorch then leaves them alone, while a
      gradient of 0 would still let them decay.
  """

  def label(path, _):
    keys = [entry.key for entry in path]
    affine = keys[-2].startswith(('bn', 'downsample_bn'))
    if affine and keys[0] == 'backbone' and not train_affine:
      return 'frozen'
    aspp = re.fullmatch(r'conv(\d+)_(kernel|bias)', keys[-1])
    if aspp and active_rates and int(aspp[1]) >= active_rates:
      return 'frozen'
    if keys[0] != 'backbone':
      return 'head'
    if not keys[1].startswith('layer'):
      return 'stem'
    return 'shortcut' if keys[2].startswith('downsample') else 'block'

  return jax.tree_util.tree_map_with_path(label, params)


def _adamw(options, schedule, layered):
  """AdamW for a group of parameters, with rates that may differ by block.

  Without the options it equals `optax.adamw` down to the structure of its
  state, which checkpoints have.
  """
  mask = None
  if options.no_decay:
    mask = functools.partial(by_name.is_decayed, no_decay=options.no_decay)
  tx = optax.adamw(
    schedule, *options.betas, weight_decay=options.weight_decay, mask=mask
  )
  if layered and options.layer_decay != 1:
    tx = optax.chain(tx, by_name.scale_layers(options.layer_decay))
  return tx


def task_optimizer(
  options: Options, network: Any, *, total_steps: int
) -> optax.GradientTransformation:
  """Returns SGD or AdamW in groups for a network with 'backbone' and heads.

  Args:
    options: see `Options`.
    network: its `models.deeplab.Options`, of which `train_affine` and
      `active_rates` are read, see `labels_of`. What is not trained is never
      touched, not even by weight decay.
    total_steps: length of the poly schedule in steps.
  """
  listed = options.repeats != 'plain' and options.name == 'sgd'
  mentions = {'stem': 1, 'block': 3, 'shortcut': 4, 'head': 1}
  transforms = {'frozen': optax.set_to_zero()}
  for group, repeats in mentions.items():
    factor = options.head_multiplier if group == 'head' else 1.0
    schedule = poly_schedule(
      options.learning_rate * factor,
      total_steps=total_steps,
      power=options.power,
      warmup_steps=options.warmup_steps,
      warmup_ratio=options.warmup_ratio,
      hold=options.hold,
    )
    if options.name == 'adamw':
      # In a transformer everything is 'stem'.
      transforms[group] = _adamw(options, schedule, group == 'stem')
    else:
      transforms[group] = repeated_sgd(
        schedule,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        repeats=repeats if listed else 1,
        legacy=options.repeats == 'torch1.2',
      )
  labels = functools.partial(
    labels_of,
    train_affine=network.train_affine,
    active_rates=network.active_rates,
  )
  return optax.partition(transforms, labels)


def disc_optimizer(
  options: Options, *, total_steps: int
) -> optax.GradientTransformation:
  """Returns Adam with the poly schedule, for discriminators."""
  schedule = poly_schedule(
    options.disc_learning_rate,
    total_steps=total_steps,
    power=options.power,
    hold=options.hold,
  )
  return optax.adam(schedule, *options.disc_betas)


def gen_optimizer(
  options: Options, *, total_steps: int
) -> optax.GradientTransformation:
  """Returns the discriminators' optimizer with the generators' rate."""
  rate = options.gen_learning_rate or options.disc_learning_rate
  return disc_optimizer(
    dataclasses.replace(options, disc_learning_rate=rate),
    total_steps=total_steps,
  )
