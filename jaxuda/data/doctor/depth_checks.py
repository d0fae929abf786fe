"""Finds depth that is missing, or implausible over a whole split."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.pixels import depth_codes


def find_none(layout: layout_lib.Layout) -> Iterator[specs.Problem]:
  """Yields a note if a dataset may have depth, and there is none at all."""
  spec = layout.spec
  shown = [x.shown for x in spec.spellings.get('depth', ())]
  if shown and not spec.needs_depth and {*layout.depthless} == {*layout.splits}:
    yield specs.Problem(
      kind='no depth',
      text=f'{spec.dataset}: no image has depth, which some methods read;'
      f' expected {" or ".join(shown)}',
      fatal=False,
    )


def find_odd_depth(report: Any, split: str) -> Iterator[specs.Problem]:
  """Yields what is odd about the depth of a split.

  Args:
    report: a `diagnosis.Report`; the split has been examined.
    split: name of the split.
  """
  yield from _check_metres(report, split)
  yield from _check_slope(report, split)
  yield from _check_flat(report, split)


def _check_metres(report, split):
  """Yields implausible depth, with the unit that it may be in."""
  found = report.examined[split]
  factor = next((x.factor for x in report.samples[split] if x.factor), 1.0)
  doubts = depth_codes.find_doubts(found.depths, report.code, factor=factor)
  for kind, text in doubts:
    yield specs.Problem(
      kind=kind,
      text=f'{report.dataset}: depth of {split} {text}',
      # Published depth has a few zeros, and sky; the reference code keeps them.
      fatal=kind == 'implausible depth'
      or (kind == 'zero depth' and report.ids == 'folder'),
    )


def _check_slope(report, split):
  """Yields metres that look like disparity, or the other way round."""
  found, code = report.examined[split], report.code.code
  odd = 1 if code == 'metres' else -1
  if found.deep > 2 and found.slopes[odd] == found.deep:
    other = 'disparity or inverse' if code == 'metres' else 'metres'
    yield specs.Problem(
      kind='depth the wrong way round',
      text=f'{report.dataset}: by the code {code}, the ground is farther than'
      f' what is above it in all depth maps of {split}; expected the code'
      f' {other}, unless that is true',
      # The camera may be looking up.
      fatal=False,
    )


def _check_flat(report, split):
  """Yields depth maps with the same value everywhere, or with no value."""
  found = report.examined[split]
  if not found.measured.size:
    return  # Then it is no depth at all, see `findings.judge`.
  every = np.arange(depth_codes.FAR_RAW + 1).astype(np.uint16)
  valid = depth_codes.measure(every, report.code, factor=1.0)[1].numpy()
  maps = f'{report.dataset}: each of the {found.deep} depth maps of {split}'
  if not found.depths[valid].any():
    yield specs.Problem(
      kind='depth without a value',
      text=f'{maps} has nothing but values that stand for no depth; expected'
      ' others, too',
    )
  elif len(found.flat) == found.deep > 1:
    name, raw = next(iter(found.flat.items()))
    yield specs.Problem(
      kind='depth map of one value',
      text=f'{maps} has one value in all of its pixels (that of {name} is'
      f' {raw}); expected depth that varies',
    )
  else:
    for name, raw in found.flat.items():
      yield specs.Problem(
        kind='depth map of one value',
        text=f'{report.dataset}: the depth of {name} in {split} is {raw} in'
        ' every pixel; expected depth that varies',
        # A picture of which all depth is missing adds nothing to the loss.
        fatal=bool(valid[raw]),
      )
