"""How an optimizer treats a parameter by its place in a network."""

from collections.abc import Sequence
import math
import re
from typing import Any

import jax
import optax

from jaxuda import errors


def is_decayed(params: Any, *, no_decay: Sequence[str]) -> Any:
  """Returns a tree that tells which parameters decay, see `optim.Options`.

  Example:
    >>> is_decayed({'norm': {'bias': 0}, 'fc': {'bias': 0}}, no_decay=('norm',))
    {'fc': {'bias': True}, 'norm': {'bias': False}}

  Args:
    params: parameters by name.
    no_decay: parts of the paths of parameters that do not decay.
  """

  def decided(path, _):
    path = jax.tree_util.keystr(path, simple=True, separator='/')
    return not any(name in path for name in no_decay)

  return jax.tree_util.tree_map_with_path(decided, params)


# The modules of a transformer's backbone: a stage's patches, its blocks, and
# the norm after them; a backbone of one stage has no stage numbers.
_BLOCKS = re.compile(r'(?:stage(\d+)_)?(embed|block(\d+)|norm)')


def layers_after(params: Any) -> Any:
  """Returns a tree of how many blocks of a transformer follow each parameter.

  It is 0 for the last block, the final norm, and everything outside the
  'backbone', and the number of blocks for what precedes the first: patches,
  positions, tokens. The patches and the norm of a later stage count as the
  block before them. The rate of a parameter is `layer_decay` to that power,
  times its group's. (BEiT decays once more; lowering the rate by that factor is
  equivalent.)

  Args:
    params: parameters by name, the backbone's under 'backbone'.

  Raises:
    UserError: the backbone has no blocks.
  """

  def place(name):
    found = _BLOCKS.fullmatch(name)
    if not found:
      return (-1,)  # Before all.
    stage, kind, block = found.groups()
    order = {'embed': -1, 'norm': math.inf}
    stage = int(stage) if stage else (math.inf if kind == 'norm' else 0)
    return stage, order[kind] if kind in order else int(block)

  blocks = [place(name) for name in params['backbone'] if 'block' in name]
  if not blocks:
    raise errors.UserError(
      'optim.layer_decay; expected 1 with a network.backbone that is not a'
      ' transformer'
    )

  def count(path, _):
    keys = [entry.key for entry in path]
    if keys[0] != 'backbone':
      return 0
    return sum(block > place(keys[1]) for block in blocks)

  return jax.tree_util.tree_map_with_path(count, params)


def scale_layers(decay: float) -> optax.GradientTransformation:
  """Multiplies updates by `decay` to the power of `layers_after`.

  Args:
    decay: ratio of a block's rate to the next one's, 0..1.
  """

  def init(params):
    layers_after(params)  # Raises before the first step.
    return optax.EmptyState()

  def update(updates, state, params=None):
    del params
    counts = layers_after(updates)
    return jax.tree.map(lambda u, n: u * decay**n, updates, counts), state

  return optax.GradientTransformation(init, update)
