"""Runs as weights, and weights as runs."""

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
    which: its checkpoint: 'last', 'best' or a step.
    network: 'student', 'teacher', 'disc' or another name in the state.

  Raises:
    UserError: no such run, checkpoint or network.
  """
  run = workdir_lib.load(workdir, which=which)
  nets = {**run.state.nets, 'teacher': run.state.teacher}
  nets['student'] = nets.get('task')
  if nets.get(network) is None:
    known = sorted(name for name, net in nets.items() if net is not None)
    raise errors.UserError(
      f'{workdir} has no {network}; expected one of {", ".join(known)}'
    )
  return of_state(
    run.method,
    nets[network],
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
    name: name of the method.
    file: the network's origin, for messages.
    network: which network of the method it is, see `read`.

  Raises:
    UserError: no other framework has such a network.
  """
  tree = {'params': net.params, 'batch_stats': net.batch_stats}
  arrays = checkpoint.flatten(jax.device_get(tree))
  family, structure, options = _describe(method, name, network)
  return conversion.Network(
    arrays={path: np.asarray(x) for path, x in arrays.items()},
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
  structure = {
    f.name: getattr(module, f.name)
    for f in dataclasses.fields(module)
    if f.name not in ('options', 'parent', 'name')
  }
  if isinstance(module, corda.CorDA):
    family = 'corda'
  elif not isinstance(module, deeplab.DeepLab) or name == 'dacs':
    family = name
  elif module.density:
    family = 'depdis'
  else:
    family = 'dada' if module.depth else 'advent'
  return family, structure, options


def from_weights(
  weights: conversion.Network,
  config: ml_collections.ConfigDict,
  *,
  report: Callable[[str], Any] = print,
) -> workdir_lib.Run:
  """Puts weights into the network of a config, ready to be evaluated.

  Options that the weights ask for (input normalisation, place of the strides,
  heads) replace the config's.

  Args:
    weights: weights from `converted.read`.
    config: the config, a copy of which becomes the run's.
    report: called with a line that says which options were replaced.

  Raises:
    UserError: the weights lack a part of the network, or have another one.
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
