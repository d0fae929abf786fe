"""Runs as weights and weights as runs."""

from collections.abc import Callable
import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda import methods
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.weights import conversion
from jaxuda.weights import converted

# Options that the weights of a network ask for.
_OPTIONS = (
  *('backbone', 'active_rates', 'rates', 'depth_scale'),
  *conversion.INPUT,
)


def read(
  workdir: str | os.PathLike, *, which: str = 'last', network: str = 'student'
) -> conversion.Network:
  """Reads one network of a run.

  Args:
    workdir: the run's folder.
    which: 'last', 'best' or a step.
    network: 'student', 'teacher' or 'disc' (or another name in the state).

  Raises:
    UserError: no such run, checkpoint or network.
  """
  run = workdir_lib.load(workdir, which=which)
  nets = {**run.state.nets, 'student': run.state.nets['task']}
  if run.state.teacher is not None:
    nets['teacher'] = run.state.teacher
  if network not in nets:
    raise errors.UserError(
      f'{workdir} has no {network}; expected one of {", ".join(sorted(nets))}'
    )
  net = nets[network]
  return of_state(
    run.method,
    net,
    name=run.config.name,
    file=f'{pathlib.Path(workdir).name} (step {run.step})',
    network=network,
  )


def of_state(
  method: Any, net: Any, *, name: str, file: str, network: str
) -> conversion.Network:
  """Describes a network of a state.

  Args:
    method: the state's method.
    net: the `state.Net`.
    name: of the method.
    file: where it is from, for messages.
    network: which network of the method it is.
  """
  tree = {'params': net.params, 'batch_stats': net.batch_stats}
  arrays = {
    path: np.asarray(x)
    for path, x in checkpoint.flatten(jax.device_get(tree)).items()
  }
  family, structure, options = _describe(method, name, network)
  return conversion.Network(
    arrays=arrays,
    record={
      'family': family,
      'title': f'{name}, {network}',
      'file': file,
      'sha256': None,
      'of': network,
      'network': options,
      'structure': structure,
      'random': [],
    },
  )


def _describe(method, name, network):
  """Returns (family, structure, options) of a method's network."""
  if network in ('disc', 'disc_output', 'disc_aux', 'disc_main'):
    return 'discriminator', {}, {}
  if network not in ('student', 'teacher', 'task'):
    raise errors.UserError(
      f'no names of another framework for the network {network} of {name};'
      ' expected student, teacher or disc'
    )
  module = method.task
  options = {field: getattr(module.options, field) for field in _OPTIONS}
  fields = {
    f.name: getattr(module, f.name)
    for f in dataclasses.fields(module)
    if f.name not in ('options', 'parent', 'name')
  }
  if isinstance(module, corda.CorDA):
    return 'corda', fields, options
  if not isinstance(module, deeplab.DeepLab):
    return name, fields, options
  if name == 'dacs':
    return 'dacs', fields, options
  if module.density:
    return 'depdis', fields, options
  return ('dada' if module.depth else 'advent'), fields, options


def from_weights(
  weights: conversion.Network,
  config: ml_collections.ConfigDict,
  *,
  report: Callable[[str], Any] = print,
) -> workdir_lib.Run:
  """Puts weights into the network of a config, ready to be evaluated.

  What the weights ask for (input normalisation, place of the strides, heads)
  replaces the config's options.

  Args:
    weights: what `prepared.read` returned.
    config: a copy of it becomes the run's.
    report: told in a line what was replaced.

  Raises:
    UserError: something of the network is not in the weights, or the reverse.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  options = methods.create(config).network
  asked = conversion.differing(weights, options)
  if asked:
    config.network.update(asked)
    shown = ', '.join(f'network.{k}={v}' for k, v in asked.items())
    report(f'as {weights.record["file"]} asks: {shown}')
  method = methods.create(config)
  example = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  shapes = jax.eval_shape(method.task.init, jax.random.key(0), example)
  expected = checkpoint.flatten(shapes)
  fit = conversion.fit(weights, expected, whole=True)
  if fit.unused:
    raise errors.UserError(
      f'{weights.record["file"]} ({weights.record["title"]}) also has'
      f' {", ".join(conversion.modules(fit.unused))}, which the network of'
      f' {config.name} lacks; expected the config of its method'
    )
  tree = jax.tree.unflatten(
    jax.tree.structure(shapes), [jnp.asarray(fit.arrays[p]) for p in expected]
  )
  net = state_lib.create_net(tree, None)
  # Whichever of the two a method evaluates.
  state = state_lib.create({'task': net}, teacher=net)
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


def load(
  *,
  workdir: str | None = None,
  which: str = 'last',
  weights: str | None = None,
  network: str = 'student',
  config: ml_collections.ConfigDict | None = None,
) -> workdir_lib.Run:
  """Reads what predicts, from a run or from published weights.

  Args:
    workdir: folder of a run.
    which: its checkpoint: 'last', 'best' or a step.
    weights: instead of a run, a file of weights or the folder of a conversion.
    network: network of such a file, see `reading.NETWORKS`.
    config: config of the method that the weights are for.

  Raises:
    UserError: neither a run nor weights, or both; no config; or nothing there
      that could be read.
  """
  if bool(workdir) == bool(weights):
    raise errors.UserError('expected either --workdir or --weights')
  if workdir:
    return workdir_lib.load(workdir, which=which, only=workdir_lib.predicts)
  if config is None:
    raise errors.UserError('--weights needs --config=configs/<method>.py:...')
  return from_weights(converted.read(weights, network=network), config)
