"""What a training step cannot do without: operations, and bytes of memory.

Operations are 2 per multiply-add of the convolutions, taps on the zero padding
left out, and of the matrix products of attention and dense layers: forward,
weight gradient and input gradient of every pass (no gradient of the image), two
passes of each discriminator, one input gradient and two weight gradients of it,
and the forward alone of a teacher and of a frozen copy. A product of two maps
has two gradients, too. Where a network looks at a part of an image, too, the
part's own gradient is counted, a thousandth of all.

Bytes are those that must pass through an accelerator's memory if everything
elementwise (and a softmax) is part of what is before or behind it, and no map
fits on the chip. The output of a convolution or product is passed over, in the
type it is computed in,

  forward         twice: written, read by the next layer; three times more with
                  statistics of the batch: read for them, read and written to be
                  normalised
  by the weights  twice: the layer's input and its output's gradient are read
  by the maps     twice: gradients read and written; five times more with
                  statistics: the gradient and the map are read for their sums,
                  both read and the gradient written to be normalised

so 5 times forward and 9 times back with such norms, 2 and 4 without. Kernels
are read once for each of the first and the third. Of what is trained the
gradients are written and read, parameters and the optimizer's state read and
written; a teacher's average is read and written and its student read. Inputs,
losses and what brings maps to another size count nothing.
"""

import dataclasses
import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
from jax.interpreters import partial_eval
import jax.numpy as jnp
import numpy as np

from jaxuda.models import deeplab
from jaxuda.models import rewrites
from jaxuda.step import parallel

# What a map may go through on its way to a norm's sums.
_SAME = ('convert_element_type', 'square', 'integer_pow', 'add', 'sub')


class Needs(NamedTuple):
  """Operations, and bytes that are read or written."""

  flops: float
  bytes: float


@dataclasses.dataclass(kw_only=True)
class Conv:
  """One convolution, or matrix product, on given shapes.

  Attributes:
    flops: operations, taps on the zero padding left out.
    output: bytes of its output.
    kernel: bytes of its kernel; 0 for a product of two maps.
    normed: whether statistics of the output are taken over its pixels.
  """

  flops: float
  output: float
  kernel: float
  normed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
  """How often a network's convolutions are passed through on one input.

  Attributes:
    convs: in order.
    forward: times forward.
    weights: gradients by the weights.
    inner: gradients by the maps, without the network's own input.
    whole: such gradients with it.
  """

  convs: list[Conv]
  forward: int = 1
  weights: int = 1
  inner: int = 1
  whole: int = 0

  def count(self) -> Needs:
    """What the passes need."""
    back = self.inner + self.whole
    times = self.forward + self.weights + back
    flops = times * sum(c.flops for c in self.convs)
    moved = 0.0
    for conv in self.convs:
      plain = 2 * (self.forward + self.weights + back)
      norms = conv.normed * (3 * self.forward + 5 * back)
      moved += (plain + norms) * conv.output
      moved += (self.forward + back) * conv.kernel
    return Needs(flops - self.inner * self.convs[0].flops, moved)


def count_taps(eqn: Any, dim: int) -> int:
  """Kernel taps that fall inside the image, summed over one output side."""
  size = eqn.invars[0].aval.shape[1 + dim]
  taps = eqn.invars[1].aval.shape[dim]
  params = eqn.params
  first = -params['padding'][dim][0]
  start = first + params['window_strides'][dim] * np.arange(
    eqn.outvars[0].aval.shape[1 + dim]
  )
  offsets = params['rhs_dilation'][dim] * np.arange(taps)
  position = start[:, None] + offsets[None]
  # A transposed convolution sees zeros between the pixels, too.
  apart = params['lhs_dilation'][dim]
  inside = (position >= 0) & (position <= (size - 1) * apart)
  return int((inside & (position % apart == 0)).sum())


def make_product(eqn: Any) -> Conv:
  """Returns a matrix product, one of maps if it is over a batch."""
  (contracted, _), (batched, _) = eqn.params['dimension_numbers']
  left, right = (v.aval for v in eqn.invars[:2])
  out = eqn.outvars[0].aval
  terms = math.prod(left.shape[axis] for axis in contracted)
  kernel = 0 if batched else right.size * right.dtype.itemsize
  return Conv(
    flops=2.0 * out.size * terms,
    output=float(out.size * out.dtype.itemsize),
    kernel=float(kernel),
  )


def find_convs(fn: Any, *args: Any) -> list[Conv]:
  """Returns every NHWC convolution whose output `fn` uses, in order.

  And every matrix product of what is made of the arguments: one by a constant
  brings a map to another size.
  """
  found = []

  def add(eqn):
    out, kernel = eqn.outvars[0].aval, eqn.invars[1].aval
    taps = count_taps(eqn, 0) * count_taps(eqn, 1)
    channels = math.prod(kernel.shape[2:])
    found.append(
      Conv(
        flops=2.0 * out.shape[0] * channels * taps,
        output=float(out.size * out.dtype.itemsize),
        kernel=float(kernel.size * kernel.dtype.itemsize),
      )
    )
    return found[-1]

  def walk(jaxpr, made, given):
    # `made`: id of a variable -> the convolution whose output it still is.
    # `given`: ids of the variables that are made of the arguments.
    for eqn in jaxpr.eqns:
      name, out = eqn.primitive.name, eqn.outvars[0]
      sources = [made.get(id(v)) for v in eqn.invars]
      source = next(filter(None, sources), None)
      dependent = [id(v) in given for v in eqn.invars]
      if name == 'conv_general_dilated':
        made[id(out)] = add(eqn)
      elif name == 'dot_general' and all(dependent):
        found.append(make_product(eqn))
      elif name == 'reduce_sum' and source and {1, 2} <= {*eqn.params['axes']}:
        source.normed = True
      elif name in _SAME and source:
        made[id(out)] = source
      if any(dependent):
        given.update(map(id, eqn.outvars))
      for value in eqn.params.values():
        inner = getattr(value, 'jaxpr', value)
        if hasattr(inner, 'eqns'):
          inside = list(map(id, inner.invars))
          pairs = zip(inside, sources, strict=False)
          own = walk(
            inner,
            {k: v for k, v in pairs if v},
            set(itertools.compress(inside, dependent)),
          )
          for outer, v in zip(eqn.outvars, inner.outvars, strict=False):
            if id(v) in own:
              made[id(outer)] = own[id(v)]
    return made

  # Statistics over all devices are, here, over one.
  closed = jax.make_jaxpr(fn, axis_env=[(parallel.AXIS, 1)])(*args)
  used = [True] * len(closed.out_avals)
  jaxpr = partial_eval.dce_jaxpr(closed.jaxpr, used)[0]
  walk(jaxpr, {}, set(map(id, jaxpr.invars)))
  return found


def conv_flops(fn: Any, *args: Any) -> list[float]:
  """Operations of every NHWC convolution whose output `fn` uses, in order."""
  return [conv.flops for conv in find_convs(fn, *args)]


def count(method: Any, state: Any, batch: Any, sizes: Any) -> Needs:
  """Returns the floor of a step; see the module's docstring.

  Args:
    method: the method; its rewrites and `remat` play no part.
    state: a training state, or its shapes.
    batch: a training batch; its shapes alone matter.
    sizes: domain -> (H, W) of the maps that a discriminator sees.
  """
  off = dataclasses.asdict(rewrites.NONE)
  network = dataclasses.replace(method.network, **off, remat=False)
  plain = dataclasses.replace(method, network=network)
  if plain.translate is not None:
    passes = _translation_passes(plain, state, batch)
  else:
    passes = _task_passes(plain, state, batch, sizes)
  needs = [one.count() for one in passes]
  moved = sum(x.bytes for x in needs) + _update_bytes(state)
  return Needs(sum(x.flops for x in needs), moved)


def _update_bytes(state):
  """What the optimizers and the teacher's average read and write."""

  def size(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))

  total = 0.0
  for net in state.nets.values():
    if jax.tree.leaves(net.opt_state):
      total += 4 * size(net.params) + 2 * size(net.opt_state)
  return total + (3 * size(state.teacher.params) if state.teacher else 0)


def _task_passes(method, state, batch, sizes):
  """The passes of a method that labels pixels and transforms no images."""
  task, found = state.nets['task'], []

  def outputs(params, stats, image, *, learns=False):
    # A network at two resolutions sees all of the detail without a key.
    key = jax.random.key(0) if learns and method.network.draws else None
    return deeplab.run(
      method.task, params, stats, image, train=True, dropout_key=key
    )[0]

  def forward(*args):
    return Pass(convs=find_convs(*args), weights=0, inner=0)

  @functools.cache
  def learn(shape):
    image = jax.ShapeDtypeStruct(shape, np.uint8)
    run = functools.partial(outputs, learns=True)
    return find_convs(run, task.params, task.batch_stats, image)

  domains = list(method.needs)
  if state.teacher is not None:
    # The student's second pass is on mixed images; a third one on masked ones;
    # a discriminator sees the target's own in another. The teacher's logits are
    # all that is used.
    domains += ['target'] * bool(method.masking.weight)
    domains += ['target'] * ('disc' in state.nets)
    given = state.teacher.params, state.teacher.batch_stats
    logits = lambda *args: outputs(*args)['logits']
    found.append(forward(logits, *given, batch['target']['image']))
  if 'anchor' in state.nets:
    anchor, frozen = state.nets['anchor'], deeplab.Backbone(method.network)
    given = {'params': anchor.params, 'batch_stats': anchor.batch_stats}
    found.append(forward(frozen.apply, given, batch['source']['image']))
  for domain in domains:
    image = batch[domain]['image']
    if domain == 'target' and not method.trains_on_target:
      found.append(_statistics_pass(method, task, image))
    else:
      found.append(Pass(convs=learn(image.shape)))
  for name, net in state.nets.items():
    for domain, size in sizes.items() if name.startswith('disc') else ():
      channels = net.params['conv0']['kernel'].shape[2]
      rows = batch[domain]['image'].shape[0]
      maps = jax.ShapeDtypeStruct((rows, *size, channels), jnp.float32)
      convs = find_convs(method.adversary.learner.apply, net.params, maps)
      # Of the target, the gradient that reaches the task network besides.
      found.append(Pass(convs=convs, whole=int(domain == 'target')))
  return found


def _statistics_pass(method, task, image):
  """A pass of which nothing is used but the running statistics after it."""

  def move(params, stats, image):
    return deeplab.run(method.task, params, stats, image, train=True)[1]

  convs = find_convs(move, task.params, task.batch_stats, image)
  return Pass(convs=convs, weights=0, inner=0)


def _translation_passes(method, state, batch):
  """The passes of GIO-Ada or CycleGAN."""
  nets, found = state.nets, []

  def disc_pass(name, critic, maps, *, fools):
    convs = find_convs(critic.learner.apply, nets[name].params, maps)
    # The gradient that reaches who is to fool it; a pool shows it other images.
    pooled = fools and bool(nets[name].batch_stats)
    return Pass(convs=convs, forward=1 + pooled, whole=int(fools))

  if 'task' not in nets:
    for there, back, end in (
      ('gen', 'gen_back', 'target'),
      ('gen_back', 'gen', 'source'),
    ):
      start = 'target' if end == 'source' else 'source'
      images = {k: v['image'].astype(np.float32) for k, v in batch.items()}
      run = method.generator.apply
      found.append(
        Pass(convs=find_convs(run, nets[there].params, images[start]))
      )
      convs = find_convs(run, nets[back].params, images[start])
      found.append(Pass(convs=convs, inner=0, whole=1))
      for shown, fools in ((images[start], True), (images[end], False)):
        found.append(
          disc_pass(f'disc_{end}', method.critic, shown, fools=fools)
        )
    return found

  def outputs(net, image):
    # With running statistics: VGG has none; of a ResNet the bytes are too few.
    return deeplab.predict(method.task, net, image)

  source = batch['source']
  guided = method.transform == 'guided'
  convs = find_convs(outputs, nets['task'], source['image'])
  found.append(Pass(convs=convs, inner=int(not guided), whole=int(guided)))
  if 'gen' in nets:
    convs = find_convs(method.transform_image, nets['gen'].params, source)
    found.append(Pass(convs=convs, weights=int(guided), inner=int(guided)))
  if method.trains_on_target:
    convs = find_convs(outputs, nets['task'], batch['target']['image'])
    found.append(Pass(convs=convs))
  elif method.sees_target:
    image = batch['target']['image']
    found.append(_statistics_pass(method, nets['task'], image))
  for name, channels in method.disc_channels.items():
    for domain in ('source', 'target'):
      shape = (*batch[domain]['image'].shape[:3], channels)
      fools = domain == ('source' if name == 'disc_input' else 'target')
      fools |= name != 'disc_input' and method.output_gradient == 'both'
      maps = jax.ShapeDtypeStruct(shape, jnp.float32)
      found.append(disc_pass(name, method.critic(name), maps, fools=fools))
  return found
