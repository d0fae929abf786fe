"""Whether the depth of a domain is in metres, or known up to a factor."""

import pathlib
from typing import Any

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.files import depth_folder
from jaxuda.data.pixels import depth_codes
from jaxuda.data.records import advice
from jaxuda.data.records import domain as domain_lib
from jaxuda.data.store import examples


def scores_depth(
  data_config: Any, *, learnt_from: str = 'target', split: str | None = None
) -> bool:
  """Returns whether errors of predicted depth can be measured in metres.

  They cannot if the true depth, or the depth that the network has learnt from,
  has the code 'inverse', see `depth_codes`: its metres are not measurements. A
  note says so, once. Depth that is not at hand, as where a run is only
  evaluated, passes for one in metres.

  Args:
    data_config: `config.data`.
    learnt_from: the domain whose depth the network has learnt, 'source' or
      'target'.
    split: split of the target that is scored; default: its `eval_split`.

  Raises:
    UserError: the target's settings are wrong, or it cannot be opened.
  """
  split = split or data_config.target.get('eval_split') or 'val'
  scored = domain_lib.read_domain(data_config, 'target', split=split)
  # Scores always use the dataset's own depth; a folder is for training.
  learnt = domain_lib.read_domain(data_config, learnt_from)
  place = learnt.depth_dir or learnt.dataset
  for what, domain in (
    (f'the depth of {scored.dataset} {split}', scored),
    (f'the depth in {place}, learnt from,', learnt),
  ):
    if _is_relative(domain, must_exist=domain is scored):
      advice.note(
        f'{what} is only known up to a factor: depth errors, which would be in'
        ' metres, are left out'
      )
      return False
  return True


def _is_relative(domain, *, must_exist):
  """Returns whether the code of a domain's depth is 'inverse'."""
  try:
    return _read_code(domain, prepare=must_exist).code == 'inverse'
  except errors.UserError:
    if must_exist:
      raise
    return False


def _read_code(domain, *, prepare):
  if domain.depth_dir:
    return depth_folder.read_code(pathlib.Path(domain.depth_dir).expanduser())
  family = registry.find(domain.dataset)
  if prepare:
    builder = registry.load(
      domain.dataset,
      data_dir=domain.data_dir,
      manual_dir=domain.manual_dir,
      store=examples.Store.of(domain),
    )
    return depth_codes.DepthCode.of(registry.metadata(builder.info))
  if not family.describe:
    return depth_codes.DepthCode.of(family.metadata)
  spec = family.describe(domain.dataset, domain.manual_dir)
  return depth_codes.DepthCode.of(spec.depth or {})
