"""Makes the golden numbers of MiT with `transformers.SegformerModel`.

  python scripts/golden/make_mit.py tests/models/golden/mit.npz

Needs torch, transformers and numpy, but not jaxuda. The weights and the image
are those of `recipe`; everything is in float64. There are two networks: 'b0',
which is MiT-B0, and 'b5', which has the widths and heads of B5 but only one
block per stage.

`transformers` gives every layer norm PyTorch's epsilon, 1e-5. In the published
networks those of blocks and stages have 1e-6, which is set here.
"""

import json
import sys

import numpy as np
import recipe
import torch
import transformers

SALT = 20
# (H, W) of the images, odd on purpose; (blocks, channels) of the stages.
NETWORKS = {
  'b0': ((61, 77), (2, 2, 2, 2), (32, 64, 160, 256)),
  'b5': ((61, 65), (1, 1, 1, 1), (64, 128, 320, 512)),
}


def build(blocks, channels) -> torch.nn.Module:
  """Returns the reference network with the recipe's weights."""
  config = transformers.SegformerConfig(
    depths=list(blocks),
    hidden_sizes=list(channels),
    num_attention_heads=[1, 2, 5, 8],
    sr_ratios=[8, 4, 2, 1],
    # The plain one ('eager') computes every softmax in float32.
    attn_implementation='sdpa',
  )
  model = transformers.SegformerModel(config).double().eval()
  state_dict = {
    key: torch.from_numpy(recipe.tensor(key, x.shape, salt=SALT))
    for key, x in model.state_dict().items()
  }
  model.load_state_dict(state_dict)
  for name, module in model.named_modules():
    parent = name.rpartition('.')[0]
    inside = parent.endswith(('patch_embeddings', 'sequence_reduction'))
    if isinstance(module, torch.nn.LayerNorm):
      module.eps = 1e-5 if inside else 1e-6
      print(f'{name}: epsilon {module.eps}')
  return model


def measure(name: str) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
  """Returns the entries of a network, and the shapes of its parameters."""
  size, blocks, channels = NETWORKS[name]
  model = build(blocks, channels)
  image = recipe.image(f'{name}_image', (1, 3, *size), salt=SALT) / 60
  image = torch.from_numpy(image).requires_grad_()
  maps = model(image, output_hidden_states=True).hidden_states
  assert len(maps) == len(blocks), [tuple(x.shape) for x in maps]
  loss, entries = 0, {}
  for i, x in enumerate(maps):
    probe = recipe.tensor(f'{name}_probe{i}', x.shape, salt=SALT)
    loss = loss + (x * torch.from_numpy(probe)).sum()
    entries[f'{name}_map{i}'] = x.detach().numpy()
  loss.backward()
  entries[f'{name}_loss'] = loss.detach().numpy()
  entries[f'{name}_grad_image'] = image.grad.numpy()
  grads = {}
  for key, x in model.named_parameters():
    # The sum would not do: in front of a norm it is 0.
    probe = recipe.tensor(f'probe.{key}', x.shape, salt=SALT)
    along = (x.grad * torch.from_numpy(probe)).sum()
    grads[key] = [along.item(), x.grad.norm().item()]
  entries[f'{name}_grads'] = np.array(json.dumps(grads))
  return entries, {k: list(x.shape) for k, x in model.named_parameters()}


def main() -> None:
  """Runs the command line."""
  entries, shapes = {}, {}
  for name in NETWORKS:
    more, shapes[name] = measure(name)
    entries |= more
  entries['shapes'] = np.array(json.dumps(shapes))
  entries['sizes'] = np.array([SALT])
  np.savez_compressed(sys.argv[1], **entries)
  print(f'{sys.argv[1]}: {transformers.__version__=}, {torch.__version__=}')


if __name__ == '__main__':
  main()
