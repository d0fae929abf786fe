"""Initial weights of a training, from another run or a file of weights."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib
import types
from typing import Any

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.methods import source_only
from jaxuda.methods.parts import recipe
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import initial as initial_lib
from jaxuda.weights import packaged
from jaxuda.weights import runs

_NO_HEADS: Mapping[str, str] = types.MappingProxyType({})


def load(
  state: Any,
  initial: str,
  *,
  which: str = 'last',
  options: Any = None,
  heads: Mapping[str, str] = _NO_HEADS,
  classes: str = '',
  report: Callable[[str], Any] = print,
) -> Any:
  """Loads the network of a run, or foreign weights, into a fresh state.

  Args:
    state: a training state before the first step.
    initial: folder of a run or of a conversion, a file of weights, or
      'imagenet' for the weights of an installed package, see `packaged`.
    which: checkpoint of the run, see `load_network`.
    options: `deeplab.Options` of the state's network, if it has any.
    heads: see `load_network`.
    classes: class set of the state's network, if it is known.
    report: called with a line about what was loaded and what stays random.

  Raises:
    UserError: `initial` is none of these, or does not fit.
  """
  if 'task' not in state.nets:
    raise errors.UserError(
      f'config.initial={initial}: the method has no task network to begin with;'
      " expected ''"
    )
  path = pathlib.Path(initial)
  if initial == packaged.IMAGENET and options is not None:
    path = packaged.find(options.backbone)
  if path.is_file() or converted.is_stored(path):
    return _load_weights(state, converted.read(path), options, report)
  initial_lib.check_exists(initial)
  return load_network(
    *(state, initial),
    which=which,
    options=options,
    heads=heads,
    classes=classes,
    report=report,
  )


def _load_weights(state, weights, options, report):
  """Loads the weights that fit; those of the backbone must fit."""
  title = f'{weights.record["file"]} ({weights.record["title"]})'
  task = state.nets['task']
  mine = {'params': task.params, 'batch_stats': task.batch_stats}
  fresh = checkpoint.flatten(mine)
  fit = conversion.fit(weights, fresh)
  if any(path.startswith('batch_stats/backbone/') for path in fit.unused):
    raise errors.UserError(
      f'{title} normalises with running statistics, which network.norm=none'
      ' leaves out; expected --config.network.norm=batch, sync or frozen, or'
      f' --config.initial={initial_lib.SCRATCH}'
    )
  if options is not None:
    taken = [path for path, array in fit.arrays.items() if array is not None]
    _check_options(weights.record['network'], options, taken, title)
  leaves = [
    x if fit.arrays[p] is None else jax.device_put(fit.arrays[p], x.sharding)
    for p, x in fresh.items()
  ]
  line = f'initial weights: {len(leaves) - len(fit.random)} arrays of {title}'
  for what, paths in (('random', fit.random), ('not used', fit.unused)):
    if paths:
      line += f'; {what}: {", ".join(conversion.modules(paths))}'
  if left_out := conversion.left_out(weights):
    line += f'; of the file: {left_out}'
  report(line)
  merged = jax.tree.unflatten(jax.tree.structure(mine), leaves)
  return _replace(state, merged['params'], merged['batch_stats'])


def load_network(
  state: Any,
  workdir: str,
  *,
  which: str = 'last',
  options: Any = None,
  heads: Mapping[str, str] = _NO_HEADS,
  classes: str = '',
  report: Callable[[str], Any] = print,
) -> Any:
  """Loads the task network of another run into a state before its first step.

  Parameters and running statistics are loaded, and copied to a teacher; step,
  optimizers and everything else stay as they are.

  Args:
    state: a training state before the first step.
    workdir: the other run's folder.
    which: its checkpoint: 'last', 'best' or a step.
    options: see `load`.
    heads: modules of another network -> modules of the state's network that are
      initialised with them. From a run with such a network, or a source-only
      run, the backbone and any fitting heads are loaded; what stays random and
      what is not used is reported.
    classes: class set of the state's network. If the run has another class set
      of the same size, this is reported.
    report: called with such a line.

  Raises:
    UserError: there is no such run or checkpoint, or it has another network.
  """
  run = workdir_lib.load(workdir, which=which)
  if 'task' not in run.state.nets:
    raise errors.UserError(
      f'config.initial={workdir} is a run of {run.config.name}, which has no'
      ' task network; expected a run of a method that segments (a CycleGAN is'
      ' for config.generator)'
    )
  if classes and run.config.get('classes'):
    ours, others = (
      labels.get_class_set(x).names for x in (classes, run.config.classes)
    )
    if len(ours) == len(others) and ours != others:
      report(
        f'note: config.initial={workdir} was trained with the classes'
        f' {", ".join(others)}, and its outputs start as those of'
        f' {", ".join(ours)}'
      )
  mine, theirs = state.nets['task'], run.state.nets['task']
  taken = {
    there: here
    for there, here in heads.items()
    if there in theirs.params and there not in mine.params
  }
  # Modules that a method adds to the source-only network start at random.
  grows = bool(mine.params.keys() - theirs.params.keys())
  if taken or (grows and isinstance(run.method, source_only.Method)):
    file = f'{pathlib.Path(workdir).name}, step {run.step}'
    weights = _rename(runs.of_run(run, file=file), taken)
    return _load_weights(state, weights, options, report)
  where, hint = f'config.initial={workdir}', 'the network must be the same'
  _check_equal(mine.params, theirs.params, where=where, hint=hint)
  _check_equal(mine.batch_stats, theirs.batch_stats, where=where, hint=hint)
  if options is not None:
    taken = checkpoint.flatten({'params': theirs.params})
    _check_options(runs.required(run.method), options, taken, where)
  return _replace(state, theirs.params, theirs.batch_stats)


# What a network differs in by a field that its shapes do not tell.
_DIFFERENT = {
  'active_rates': 'choice of dilations',
  'rates': 'choice of dilations',
  'depth_scale': 'scale of the depth output',
}


def _check_options(needed, options, taken, what):
  """Checks that weights go on computing what they were trained to compute.

  Args:
    needed: field of `deeplab.Options` -> its value where they were trained.
    options: those of the network that takes them over.
    taken: paths of the weights that it takes over.
    what: their origin.

  Raises:
    UserError: the options differ in a field on which these weights depend.
  """
  fields = conversion.depended_on(taken)
  needed = {k: v for k, v in needed.items() if k in fields}
  if asked := sorted(conversion.compare(needed, options).items()):
    kinds = dict.fromkeys(
      _DIFFERENT.get(k, 'input or stride') for k, _ in asked
    )
    flags = ' '.join(f"--config.network.{k}='{v}'" for k, v in asked)
    raise errors.UserError(
      f'{what} was trained with a different {" and ".join(kinds)}; expected'
      f' {flags}'
    )


def _rename(weights, taken):
  """Renames modules of a network to those that they initialise."""
  arrays = {}
  for path, array in weights.arrays.items():
    kind, module, *leaf = path.split('/')
    arrays['/'.join((kind, taken.get(module, module), *leaf))] = array
  record = dict(weights.record)
  for there, here in taken.items():
    record['title'] += f'; {there} as {here}'
  return dataclasses.replace(weights, arrays=arrays, record=record)


def load_generator(
  state: Any, workdir: str | None, *, which: str = 'last'
) -> Any:
  """Loads the generator of a CycleGAN run into a state before its first step.

  The state's generator is frozen. `which` is the CycleGAN run's checkpoint:
  'last' or a step.

  Raises:
    UserError: there is no such run or checkpoint, or its generator differs.
  """
  if not workdir:
    raise errors.UserError(
      'a frozen generator is needed but not given; expected'
      ' --config.generator=WORKDIR of a run of --config=cyclegan'
    )
  run = workdir_lib.load(
    workdir, which=which, only=lambda path: path.startswith('nets/gen/params')
  )
  theirs = run.state.nets.get('gen')
  _check_equal(
    state.nets['gen'].params,
    theirs.params if theirs else {},
    where=f'config.generator={workdir}',
    hint='method.gen_width and gen_blocks must be the same',
  )
  gen = state.nets['gen'].replace(params=theirs.params)
  return state.replace(nets={**state.nets, 'gen': gen})


def _check_equal(mine, theirs, *, where, hint):
  """Checks that two trees have the same paths, dtypes and shapes."""
  for path, here, there in checkpoint.differing(mine, theirs):
    raise errors.UserError(
      f'{where} has {there or "nothing"} for {path}; expected'
      f' {here or "nothing"}: {hint}'
    )


def _replace(state, params, stats):
  """Sets the parameters of the task network, its anchor and its teacher."""
  task = state.nets['task'].replace(params=params, batch_stats=stats)
  nets = {**state.nets, 'task': task}
  if 'anchor' in nets:
    nets['anchor'] = recipe.anchor_of(task)
  state = state.replace(nets=nets)
  if state.teacher is None:
    return state
  # Copied: the step donates its buffers, which no two leaves may share.
  params, stats = jax.tree.map(jnp.copy, (params, stats))
  return state.replace(
    teacher=state.teacher.replace(params=params, batch_stats=stats)
  )
