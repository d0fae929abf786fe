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
from jaxuda.models import gio_ada
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.weights import conversion
from jaxuda.weights import converted

# Options that the weights of a network require.
_OPTIONS = (
  *('backbone', 'output_stride', 'active_rates', 'rates', 'depth_scale'),
  *('decoder', 'decoder_width', 'patch_resize'),
  *('resolutions', 'scale_attention'),
  *conversion.INPUT,
)
# Discriminators of outputs, and the families of their architectures.
_DISCRIMINATORS = (
  *('disc', 'disc_output', 'disc_aux', 'disc_main', 'disc_seg'),
  *('disc_semantic', 'disc_depth'),
)
_CRITICS = {'strided': 'discriminator', 'patch': 'patch_discriminator'}
# What else the weights require if the network sees two resolutions.
_HRDA = ('detail_crop', 'context_scale', 'detail_overlap', 'window')


def read(
  workdir: str | os.PathLike, *, which: str = 'last', network: str = 'student'
) -> conversion.Network:
  """Reads one network of a run.

  Args:
    workdir: the run's folder.
    which: its checkpoint: 'last', 'best' or a step.
    network: 'student', 'teacher', 'disc' or another name in the state.

  Raises:
    UserError: there is no such run, checkpoint or network.
  """
  run = workdir_lib.load(workdir, which=which)
  file = f'{pathlib.Path(workdir).name} (step {run.step})'
  return of_run(run, network=network, file=file)


def of_run(
  run: workdir_lib.Run, *, network: str = 'student', file: str = ''
) -> conversion.Network:
  """Describes one network of a run in memory.

  Args:
    run: the run.
    network: see `read`.
    file: the run's origin, for messages.

  Raises:
    UserError: the run has no such network, or no other framework has names for
      it.
  """
  nets = {**run.state.nets, 'teacher': run.state.teacher}
  nets['student'] = nets.get('task')
  net = nets.get(network)
  if net is None:
    known = sorted(name for name, net in nets.items() if net is not None)
    raise errors.UserError(
      f'{file} has no {network}; expected one of {", ".join(known)}'
    )
  tree = {'params': net.params, 'batch_stats': net.batch_stats}
  arrays = checkpoint.flatten(jax.device_get(tree))
  name = run.config.name
  record = {
    'title': f'{name}, {network}',
    'file': file,
    'sha256': None,
    'of': network,
    **_describe(run.method, name, network),
    'random': [],
  }
  return conversion.Network(
    arrays={path: np.asarray(x) for path, x in arrays.items()}, record=record
  )


def _describe(method, name, network):
  """Returns the fields 'family', 'structure' and 'network' of a record."""
  if network in _DISCRIMINATORS:
    family = _CRITICS.get(method.output_disc)
    if family is None:
      raise errors.UserError(
        f'no names of another framework for the network {network} of {name}'
        f' with method.output_disc={method.output_disc}; expected one of'
        f' {", ".join(_CRITICS)}'
      )
    return {'family': family, 'structure': {}, 'network': {}}
  if network not in ('student', 'teacher', 'task'):
    raise errors.UserError(
      f'no names of another framework for the network {network} of {name};'
      ' expected student, teacher or disc'
    )
  module, two = method.task, method.network.resolutions == 'hrda'
  module = module.inner if two else module
  if two:
    family = 'hrda'
  elif isinstance(module, corda.CorDA):
    family = 'corda'
  elif not isinstance(module, deeplab.DeepLab):
    family = name
  elif module.density:
    family = 'depdis'
  elif module.depth:
    family = 'dada'
  else:
    family = 'dacs' if name == 'dacs' else 'advent'
  fields = {f.name for f in dataclasses.fields(module)}
  fields -= {'options', 'parent', 'name'}
  return {
    'family': family,
    'structure': {field: getattr(module, field) for field in sorted(fields)},
    'network': required(method),
  }


def required(method: Any) -> dict[str, Any]:
  """Returns the options that the weights of a method's task network require.

  Args:
    method: a `base.Method` with a task network.

  Returns:
    Field of `deeplab.Options` -> value.
  """
  options = method.network
  fields = (*_OPTIONS, *(_HRDA if options.resolutions == 'hrda' else ()))
  if isinstance(method.task, gio_ada.GioAda):
    # Whose depth is not scaled.
    fields = [field for field in fields if field != 'depth_scale']
  return {field: getattr(options, field) for field in fields}


def from_weights(
  weights: conversion.Network,
  config: ml_collections.ConfigDict,
  *,
  report: Callable[[str], Any] = print,
) -> workdir_lib.Run:
  """Puts weights into the network of a config, ready to be evaluated.

  Options that the weights require (input normalisation, place of the strides,
  heads) replace the config's.

  Args:
    weights: weights from `converted.read`.
    config: the config, a copy of which becomes the run's.
    report: called with a line on what is left out of the file, and one on which
      options were replaced.

  Raises:
    UserError: the weights lack a part of the network or are for another one, or
      the method labels no pixels.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  method = methods.create(config)
  if method.predict is None:
    raise errors.UserError(
      f'--config={config.name} labels no pixels; expected the config of a'
      ' method that does'
    )
  options = method.network
  if left_out := conversion.left_out(weights):
    report(f'{weights.record["file"]}: {left_out}')
  asked = conversion.differing(weights, options)
  if asked:
    config.network.update(asked)
    shown = ', '.join(f'network.{k}={v}' for k, v in asked.items())
    report(f'as {weights.record["file"]} requires: {shown}')
  method = methods.create(config)
  # HRDA takes whole cells.
  side = 8 * int(method.network.cell)
  example = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
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
  # For whichever of the two a method evaluates.
  state = state_lib.create({'task': net}, teacher=net)
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


def load(
  *,
  workdir: str | None = None,
  which: str = 'last',
  weights: str | None = None,
  network: str = '',
  family: str = '',
  config: ml_collections.ConfigDict | None = None,
) -> workdir_lib.Run:
  """Reads a network for prediction, from a run or from published weights.

  Args:
    workdir: folder of a run.
    which: its checkpoint: 'last', 'best' or a step; 'last' for weights, which
      have only one.
    weights: instead of a run, a file of weights or the folder of a conversion.
    network: network of such a file, see `reading.File.entry`.
    family: family of such a file, see `families.recognise`.
    config: config of the method that the weights are for; a run has its own.

  Raises:
    UserError: neither a run nor weights are given, or both; weights come
      without a config or with a checkpoint, or a run with a config; or there is
      nothing that could be read.
  """
  if bool(workdir) == bool(weights):
    raise errors.UserError('expected either --workdir or --weights')
  if workdir:
    for flag, given in (
      *(('network', network), ('family', family)),
      ('config', config.name if config else ''),
    ):
      if given:
        raise errors.UserError(
          f'--{flag}={given} applies to files of weights; expected one, not a'
          ' run'
        )
    return workdir_lib.load(workdir, which=which, only=workdir_lib.predicts)
  if config is None:
    raise errors.UserError(
      '--weights is given without --config; expected the config of its method,'
      ' such as --config=dada:pair=synthia2cityscapes'
    )
  check_no_checkpoint(which)
  read = converted.read(weights, network=network, family=family, whole=True)
  return from_weights(read, config)


def check_no_checkpoint(which: str) -> None:
  """Raises UserError if a checkpoint of weights other than a run is chosen."""
  if which != 'last':
    raise errors.UserError(
      f'--checkpoint={which} applies to runs; expected one, not a file of'
      ' weights'
    )
