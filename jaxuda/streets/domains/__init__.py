"""The domains, one file each: `STYLE`, all that is particular to it.

`wide` is the source with a new style for every scene; 'wide-KIND' varies it in
some of the ways of `wide.KINDS` alone, in their order: 'wide-sky-light'.
"""

from collections.abc import Sequence

from jaxuda.streets.domains import palette
from jaxuda.streets.domains import source
from jaxuda.streets.domains import target
from jaxuda.streets.domains import wide
from jaxuda.streets.domains import widening

# A scene is a function of its domain's place here: new ones go to the end.
STYLES = {'source': source.STYLE, 'target': target.STYLE}
NAMES = (*STYLES, 'wide')
FORM = f'source, target, wide, wide-KIND with KIND of {", ".join(wide.KINDS)}'


def _find_kinds(domain: str) -> tuple[str, ...] | None:
  """The kinds of variation of a domain, None where there is no such domain."""
  if domain in STYLES:
    return ()
  first, *kinds = domain.split('-')
  if first != 'wide' or kinds != [k for k in wide.KINDS if k in kinds]:
    return None
  return tuple(kinds or wide.KINDS)


def is_known(domain: str) -> bool:
  """Whether there is a domain of this name."""
  return _find_kinds(domain) is not None


def place(domain: str) -> int:
  """Returns the place of a domain, of its source where it is varied."""
  return list(STYLES).index(domain) if domain in STYLES else 0


def sample(domain: str, key: Sequence[int]) -> palette.Style:
  """Returns the style of one scene of a domain.

  Args:
    domain: a known one.
    key: seed of the scene.
  """
  if domain in STYLES:
    return STYLES[domain]
  return widening.sample(_find_kinds(domain), key)
