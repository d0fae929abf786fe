"""Checkpoints at full size with the reference weights: the same outputs.

Written in both of PyTorch's formats under the official names, read, converted
and run; the outputs are those that the official networks gave.
"""

import importlib
import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.models import deeplab
from jaxuda.ui import command
from jaxuda.weights import conversion
from jaxuda.weights import reading
from jaxuda.weights import runs
from tests.weights import official

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = _ROOT.parent / 'shared' / 'golden'
_spec = importlib.util.spec_from_file_location(
  'recipe', _ROOT / 'scripts' / 'golden' / 'recipe.py'
)
recipe = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recipe)

# The official name of an output, and ours.
_SINGLE = {'logits': 'logits', 'depth': 'depth'}
_CORDA = {
  'S': 'logits',
  'D': 'depth',
  'D_src': 'depth_source',
  'initial_S': 'initial_logits',
  'initial_D': 'initial_depth',
  'initial_D_src': 'initial_depth_source',
}


@pytest.mark.skipif(not _GOLDEN.exists(), reason='no golden numbers beside')
@pytest.mark.parametrize(
  ('name', 'wrapper', 'outputs'),
  [
    ('dada', '', _SINGLE),
    ('depdis', 'model', {**_SINGLE, 'density': 'density'}),
    ('corda', 'model', _CORDA),
  ],
)
def test_converted_files_give_the_reference_outputs(
  tmp_path, name, wrapper, outputs
):
  with np.load(_GOLDEN / f'{name}.npz', allow_pickle=False) as data:
    golden = {k: data[k] for k in data.files}
  salt = int(golden['sizes'][-1])
  arrays = {
    key: recipe.tensor(key, shape, salt=salt).astype(np.float32)
    for key, shape in json.loads(str(golden['shapes'])).items()
    if not key.startswith('D.')
  }
  networks = []
  for kind in ('zip', 'legacy'):
    path = tmp_path / f'{kind}.pth'
    official.save({wrapper: arrays} if wrapper else arrays, path, kind)
    networks.append(conversion.convert(reading.read(path)))
  one, other = networks
  assert one.record['family'] == name
  assert one.arrays.keys() == other.arrays.keys()
  assert all(np.array_equal(other.arrays[k], x) for k, x in one.arrays.items())

  pairs = name == 'corda'
  sizes = [int(n) for n in golden['sizes']]
  count, height, width = sizes[:3] if pairs else (1, *sizes[:2])
  config = command.read_config(f'{name}:pair=synthia2cityscapes')
  config.num_classes = sizes[3] if pairs else sizes[4]
  run = runs.from_weights(one, config, report=str)
  # The reference image is already normalised: undo what our network will do.
  shape = (count, 3, height, width)
  image = recipe.image('source', shape, salt=salt)
  assert run.config.network.image_order == 'bgr'
  image = image.transpose(0, 2, 3, 1) + run.config.network.image_mean
  net = run.state.nets['task']
  out, _ = jax.jit(
    lambda net, x: deeplab.run(
      run.method.task, net.params, net.batch_stats, x, train=False
    )
  )(net, jnp.asarray(image[..., ::-1], jnp.float32))
  for theirs, ours in outputs.items():
    found = np.asarray(out[ours])
    found = np.moveaxis(found if found.ndim == 4 else found[..., None], -1, 1)
    expected = golden[f'eval_{theirs}']
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 1e-5, (theirs, error)
