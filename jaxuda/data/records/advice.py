"""Notes on how prepared data are read, each of which is printed once."""

import functools
import sys

import tensorflow_datasets as tfds

from jaxuda.data.datasets import registry
from jaxuda.data.records import domain as domain_lib


@functools.lru_cache
def note(text: str) -> None:
  """Prints a note on stderr, once."""
  print(f'note: {text}', file=sys.stderr)


def note_lost_sizes(
  domain: domain_lib.Domain, info: tfds.core.DatasetInfo
) -> None:
  """Prints a note if padded depth lacks the aspect ratio of its image.

  Args:
    domain: the domain, whose depth is read.
    info: description of its prepared dataset.
  """
  known = domain.store == 'raw' or 'image_size' in info.features
  if domain.fit == 'pad' and not known:
    note(
      f'{info.data_dir} does not hold the sizes of its images, so depth maps of'
      ' another aspect ratio than their image are misplaced; delete it to'
      ' prepare it again'
    )


def note_small_labels(domain: domain_lib.Domain) -> None:
  """Prints a note if the labels of the split that is scored are stored small.

  Args:
    domain: the domain, with the split that is scored.
  """
  if domain.store == 'raw' or domain.eval_labels == 'input':
    return
  family = registry.find(domain.dataset)
  spec = family.describe(domain.dataset, domain.manual_dir)
  if domain.split.split('[')[0] not in spec.scored:
    height, width = domain.size
    note(
      f'labels of {domain.dataset} {domain.split} are scored at'
      f' {width}x{height}, as config.data.{domain.side}.store={domain.store}'
      ' keeps them; expected store=raw to score them at their own size'
    )
