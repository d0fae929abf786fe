"""The domains: one table of looks each, `STYLE`."""

from jaxuda.streets.domains import source
from jaxuda.streets.domains import target

# A scene is a function of its domain's place here: new ones go to the end.
STYLES = {'source': source.STYLE, 'target': target.STYLE}
