"""Writes golden numbers of DINOv2 and Depth Anything. Needs torch.

    python -m scripts.golden.make_vit OUT_DIR

Builds Dinov2Model, Dinov2WithRegistersModel and DepthAnythingForDepthEstimation
of Hugging Face's transformers in miniature (no download), fills them with
`fill`, and stores outputs and gradients in float64: OUT_DIR/vit.npz. Run it
with torch (2.13), transformers (5.24) and NumPy; the package needs neither of
the first two.
"""

import contextlib
import pathlib
import sys
import tempfile

import numpy as np
import safetensors
import torch
from torch.nn import functional
import transformers

from scripts.golden import vit as golden

# The sizes of 'dinov2_tiny' in `models.backbones.vit` and of
# `models.depth_anything`.
_TINY = {
  'hidden_size': 16,
  'num_hidden_layers': 4,
  'num_attention_heads': 2,
  'mlp_ratio': 4,
  'image_size': 70,
  'patch_size': 14,
  'attn_implementation': 'eager',
}


@contextlib.contextmanager
def all_float64():
  """Makes transformers interpolate positions in float64, too."""
  single = torch.float32
  torch.float32 = torch.float64
  try:
    yield
  finally:
    torch.float32 = single


def saved_names(model):
  """Maps the names of a model's parameters to those of its file."""
  with tempfile.TemporaryDirectory() as folder:
    for number, parameter in enumerate(model.parameters()):
      parameter.data.fill_(number)
    model.save_pretrained(folder)
    path = pathlib.Path(folder) / 'model.safetensors'
    with safetensors.safe_open(path, framework='numpy') as file:
      keys = list(file.keys())
      saved = {int(file.get_tensor(k).flat[0]): k for k in keys}
  own = [name for name, _ in model.named_parameters()]
  assert sorted(saved) == list(range(len(own)))
  return {name: saved[number] for number, name in enumerate(own)}


def prepare(model):
  """Fills a model with the recipe; returns parameters by their saved names."""
  names = saved_names(model)
  model.double().eval()
  parameters = {}
  for name, parameter in model.named_parameters():
    key = names[name]
    array = golden.tensor(key, tuple(parameter.shape))
    parameter.data = torch.tensor(array)
    parameter.requires_grad_(True)
    parameters[key] = parameter
  return parameters


def to_torch(image):
  """Converts an NHWC array to float64 [B, 3, H, W]."""
  return torch.tensor(image.transpose(0, 3, 1, 2).copy())


def store(out, name, parameters, output):
  """Stores an output, and the gradients of the sum of its sines."""
  for parameter in parameters.values():
    parameter.grad = None
  torch.sin(output).sum().backward()
  out[f'{name}/output'] = output.detach().numpy()
  grads = {k: p.grad for k, p in parameters.items()}
  found = {k: x.numpy() for k, x in grads.items() if x is not None}
  for key in golden.GRADIENTS:
    if key in found:
      out[f'{name}/grad/{key}'] = found[key]
  keys = sorted(found)
  out[f'{name}/grad_keys'] = np.array(keys)
  norms = [np.linalg.norm(found[k]) for k in keys]
  out[f'{name}/grad_norms'] = np.array(norms)


def store_keys(out, name, parameters):
  """Stores the names and the shapes of a file's entries."""
  keys = sorted(parameters)
  shapes = [str(tuple(parameters[k].shape)) for k in keys]
  out[f'{name}/keys'], out[f'{name}/shapes'] = np.array(keys), np.array(shapes)


def run_dinov2(out, name, model):
  """Stores the tokens of the second and the last block, at three sizes."""
  parameters = prepare(model)
  store_keys(out, name, parameters)
  for size, image in golden.images().items():
    with all_float64():
      result = model(to_torch(image), output_hidden_states=True)
    # Only the patch tokens.
    count = image.shape[1] * image.shape[2] // 14**2
    last, second = (
      x[:, -count:] for x in (result.last_hidden_state, result.hidden_states[2])
    )
    store(out, f'{name}/{size}', parameters, last)
    out[f'{name}/{size}/block2'] = second.detach().numpy()


def run_masked(out, model):
  """Stores outputs with the mask token in place of some patches."""
  parameters = prepare(model)
  image, mask = golden.images()['wide'], golden.mask()
  flat = torch.tensor(mask.reshape(len(mask), -1))
  with all_float64():
    result = model(to_torch(image), bool_masked_pos=flat)
  store(out, 'dinov2/masked', parameters, result.last_hidden_state[:, 1:])


def run_depth(out, kind):
  """Stores outputs of Depth Anything, relative or metric."""
  backbone = transformers.Dinov2Config(
    **_TINY, out_indices=[1, 2, 3, 4], reshape_hidden_states=False
  )
  config = transformers.DepthAnythingConfig(
    backbone_config=backbone,
    reassemble_hidden_size=16,
    neck_hidden_sizes=[4, 6, 8, 10],
    fusion_hidden_size=8,
    head_hidden_size=5,
    depth_estimation_type=kind,
    max_depth=80 if kind == 'metric' else 1,
  )
  model = transformers.DepthAnythingForDepthEstimation(config)
  parameters = prepare(model)
  store_keys(out, 'depth', parameters)
  with all_float64():
    result = model(to_torch(golden.images()['wide']))
  store(out, f'depth/{kind}', parameters, result.predicted_depth)


def run_positions(out):
  """Stores positions resized with DINOv2's offset, for a separate check."""
  places = to_torch(golden.positions()[None])
  for h, w in golden.GRIDS:
    factor = ((h + 0.1) / places.shape[2], (w + 0.1) / places.shape[3])
    y = functional.interpolate(places, scale_factor=factor, mode='bicubic')
    assert y.shape[2:] == (h, w)
    out[f'positions/offset/{h}x{w}'] = y[0].permute(1, 2, 0)[::3].numpy()


def main() -> None:
  """Writes the file."""
  out: dict[str, np.ndarray] = {}
  plain = transformers.Dinov2Model(transformers.Dinov2Config(**_TINY))
  run_dinov2(out, 'dinov2', plain)
  run_masked(out, plain)
  config = transformers.Dinov2WithRegistersConfig(
    **_TINY, num_register_tokens=4
  )
  registers = transformers.Dinov2WithRegistersModel(config)
  run_dinov2(out, 'registers', registers)
  run_depth(out, 'relative')
  run_depth(out, 'metric')
  run_positions(out)
  path = pathlib.Path(sys.argv[1]) / 'vit.npz'
  np.savez_compressed(path, **out)
  print(f'{path}: {len(out)} entries, {path.stat().st_size} bytes')


if __name__ == '__main__':
  main()
