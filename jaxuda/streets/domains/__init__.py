"""The domains, one file each, whose `STYLE` holds all that is specific to it.

`wide` is the source with a new style for every scene; 'wide-KIND' varies only
some of the `wide.KINDS`, named in their order: 'wide-sky-light'.
"""

from collections.abc import Sequence

from jaxuda.streets.domains import palette
from jaxuda.streets.domains import source
from jaxuda.streets.domains import target
from jaxuda.streets.domains import wide
from jaxuda.streets.domains import widening

# A scene depends on its domain's position here, so append new domains.
STYLES = {'source': source.STYLE, 'target': target.STYLE}
NAMES = (*STYLES, 'wide')
FORM = f'source, target, wide, wide-KIND with KIND of {", ".join(wide.KINDS)}'


def _find_kinds(domain: str) -> tuple[str, ...] | None:
  """Returns a domain's kinds of variation, or None if it does not exist."""
  if domain in STYLES:
    return ()
  first, *kinds = domain.split('-')
  if first != 'wide' or kinds != [k for k in wide.KINDS if k in kinds]:
    return None
  return tuple(kinds or wide.KINDS)


def is_known(domain: str) -> bool:
  """Returns whether there is a domain of this name."""
  return _find_kinds(domain) is not None


def place(domain: str) -> int:
  """Returns the index of a domain or, for a varied one, of its source."""
  return list(STYLES).index(domain) if domain in STYLES else 0


def sample(domain: str, key: Sequence[int]) -> palette.Style:
  """Returns the style of one scene of a domain.

  Args:
    domain: name of a known domain.
    key: seed of the scene.
  """
  if domain in STYLES:
    return STYLES[domain]
  return widening.sample(_find_kinds(domain), key)
