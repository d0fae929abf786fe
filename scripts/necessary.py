"""Counts the least operations and bytes of memory that a training step needs.

Operations are 2 per multiply-add of the convolutions, without kernel taps on
the zero padding, and of the matrix products of attention and dense layers: the
forward pass, weight gradient and input gradient of every pass (no gradient of
the image), two forward passes, one input gradient and two weight gradients of
each discriminator, and only the forward pass of a teacher and of a frozen copy.
A product of two maps also has two gradients. If a network also sees part of an
image, that part's own gradient is counted, a thousandth of the total.

Bytes are those that must pass through an accelerator's memory if everything
elementwise (and a softmax) is fused with what precedes or follows it, and no
map fits on the chip. The output of a convolution or product is passed over, in
the dtype in which it is computed,

  forward         twice: written, and read by the next layer; three more times
                  with batch statistics: read for them, then read and written
                  for the normalisation
  by the weights  twice: the layer's input and its output's gradient are read
  by the maps     twice: gradients are read and written; five more times with
                  batch statistics: the gradient and the map are read for their
                  sums, then both are read and the gradient is written

so 5 times forward and 9 times backward with batch statistics, 2 and 4 without.
Kernels are read once for each of the first and the third. For trained networks,
gradients, parameters and the optimizer's state are each read and written; a
teacher's average is read and written and its student read. Inputs, losses and
the resizing of maps count nothing.
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

from jaxuda.methods import self_training
from jaxuda.models import deeplab
from jaxuda.models import rewrites
from jaxuda.step import parallel

# Operations that a map may go through on its way to a norm's sums.
_SAME = ('convert_element_type', 'square', 'integer_pow', 'add', 'sub')


class Needs(NamedTuple):
  """Operations, and bytes that are read or written."""

  flops: float
  bytes: float


@dataclasses.dataclass(kw_only=True)
class Conv:
  """One convolution or matrix product, on given shapes.

  Attributes:
    flops: operations, without kernel taps on the zero padding.
    output: bytes of its output.
    kernel: bytes of its kernel; 0 for a product of two maps.
    normed: whether statistics of the output are computed over its pixels.
  """

  flops: float
  output: float
  kernel: float
  normed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
  """The number of passes through a network's convolutions on one input.

  Attributes:
    convs: the convolutions in order.
    forward: number of forward passes.
    weights: number of gradients by the weights.
    inner: number of gradients by the maps, without the network's own input.
    whole: number of such gradients including the input.
  """

  convs: list[Conv]
  forward: int = 1
  weights: int = 1
  inner: int = 1
  whole: int = 0

  def count(self) -> Needs:
    """Returns the needs of the passes."""
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
  """Counts the kernel taps inside the image, summed over one output side."""
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
  """Returns a matrix product; with a batch axis it is one of two maps."""
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

  Matrix products are included if both factors depend on the arguments: a
  product with a constant is the resizing of a map.
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
    # `given`: ids of the variables that depend on the arguments.
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

  # Statistics over all devices are over a single one here.
  closed = jax.make_jaxpr(fn, axis_env=[(parallel.AXIS, 1)])(*args)
  used = [True] * len(closed.out_avals)
  jaxpr = partial_eval.dce_jaxpr(closed.jaxpr, used)[0]
  walk(jaxpr, {}, set(map(id, jaxpr.invars)))
  return found


def conv_flops(fn: Any, *args: Any) -> list[float]:
  """Returns the operations of every NHWC convolution that `fn` uses."""
  return [conv.flops for conv in find_convs(fn, *args)]


def count(method: Any, state: Any, batch: Any, sizes: Any) -> Needs:
  """Returns the least that a step needs; see the module's docstring.

  Args:
    method: the method; its rewrites and `remat` are ignored.
    state: a training state, or its shapes.
    batch: a training batch; only its shapes matter.
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
  """Returns the bytes of the optimizers and of the teacher's average."""

  def size(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))

  total = 0.0
  for net in state.nets.values():
    if jax.tree.leaves(net.opt_state):
      total += 4 * size(net.params) + 2 * size(net.opt_state)
  return total + (3 * size(state.teacher.params) if state.teacher else 0)


def _task_passes(method, state, batch, sizes):
  """Returns the passes of a method that labels pixels without translation."""
  task, found = state.nets['task'], []

  def outputs(params, stats, image, *, learns=False):
    # Without a key, a network at two resolutions sees all of the detail.
    key = jax.random.key(0) if learns and method.network.draws else None
    out, _ = deeplab.run(
      method.task, params, stats, image, train=True, dropout_key=key
    )
    # The other branches are kept, but no loss reaches them.
    alone = isinstance(method, self_training.Method)
    return out['logits'] if alone else out

  def forward(*args):
    return Pass(convs=find_convs(*args), weights=0, inner=0)

  @functools.cache
  def learn(shape):
    image = jax.ShapeDtypeStruct(shape, np.uint8)
    run = functools.partial(outputs, learns=True)
    return find_convs(run, task.params, task.batch_stats, image)

  domains = list(method.needs)
  if state.teacher is not None:
    # The student's second pass is on mixed images, a third one on masked ones,
    # and another one on the target's own, for a discriminator. Only the logits
    # of the teacher are used.
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
      # For the target, also the gradient that reaches the task network.
      found.append(Pass(convs=convs, whole=int(domain == 'target')))
  return found


def _statistics_pass(method, task, image):
  """Returns a pass that is only used for the running statistics after it."""

  def move(params, stats, image):
    return deeplab.run(method.task, params, stats, image, train=True)[1]

  convs = find_convs(move, task.params, task.batch_stats, image)
  return Pass(convs=convs, weights=0, inner=0)


def _translation_passes(method, state, batch):
  """Returns the passes of GIO-Ada or CycleGAN."""
  nets, found = state.nets, []

  def disc_pass(name, critic, maps, *, fools):
    convs = find_convs(critic.learner.apply, nets[name].params, maps)
    # The gradient reaches the network that must fool it; with a pool the
    # discriminator sees other images.
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
    # With running statistics: VGG has none; for a ResNet it counts too few
    # bytes.
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
