"""Compute budgets of the notebooks: the environment variable JAXUDA_BUDGET.

`full`, the default, takes minutes and gives results worth looking at. `test`
takes seconds and only shows that everything runs: two steps of a tiny network
on a few pictures of 32x64 pixels.
"""

import os

import jax
import ml_collections

from jaxuda import errors

VARIABLE = 'JAXUDA_BUDGET'
BUDGETS = ('full', 'test')

_SIZE = (32, 64)
_STEPS = 2
# Widths and depths of the methods' auxiliary networks.
_WIDTHS = {'disc_width': 4, 'gen_width': 4, 'gen_blocks': 1, 'width': 8}


def read() -> str:
  """Returns the budget.

  Raises:
    UserError: the variable holds none of `BUDGETS`.
  """
  value = os.environ.get(VARIABLE) or BUDGETS[0]
  if value not in BUDGETS:
    raise errors.UserError(
      f'{VARIABLE}={value!r}; expected one of {", ".join(BUDGETS)}'
    )
  return value


def choose(*, full: int, test: int) -> int:
  """Returns the number that belongs to the budget."""
  return full if read() == 'full' else test


def limit(config: ml_collections.ConfigDict, *, steps: int) -> None:
  """Makes a training run on a small pair fit the budget, and the devices.

  The batch is enlarged to a multiple of the number of devices.

  Args:
    config: a run's config, changed in place.
    steps: number of steps of the full budget. Scores and pictures are made
      after the last one.
  """
  steps = choose(full=steps, test=_STEPS)
  config.total_steps = config.stop_step = steps
  config.eval_every = config.checkpoint_every = config.picture_every = steps
  devices = jax.device_count()
  config.batch_size = -(-config.batch_size // devices) * devices
  if read() == 'full':
    return
  config.log_every = 1
  config.network.backbone = 'resnet_tiny'
  for side in (config.data.source, config.data.target):
    side.size = _SIZE
    if side.dataset in ('streets/source', 'streets/target', 'streets/wide'):
      side.dataset += f'_{_SIZE[0]}x{_SIZE[1]}_train4_val3'
  config.method.update(
    {name: x for name, x in _WIDTHS.items() if name in config.method}
  )
  if 'mixtures' in config:
    config.mixtures.samples = 1000
