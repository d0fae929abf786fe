"""A procedural street renderer in NumPy and OpenCV: no TensorFlow, no JAX.

This module is its public interface: other packages use nothing else of it.
`render` draws a picture with its labels and depth; `render_scenes` yields many
of them as encoded files. A scene is sampled as planar quadrilaterals in metres
(`layout`, `ground`, `traffic` and `furniture` fill a `site` in the style of one
of the `domains` and collect the faces in a `mesh`), seen through a `camera`,
drawn into a z-buffer (`raster`, `shadow`), coloured surface by surface
(`material`) and turned into a photograph (`look`).
"""

from jaxuda.streets import camera as cameras
from jaxuda.streets import domains
from jaxuda.streets import street
from jaxuda.streets import worker

DOMAINS = domains.NAMES
# The names of all domains, for messages.
FORM = domains.FORM
# Metres between the two cameras, and between two frames.
BASELINE, STEP = cameras.BASELINE, cameras.STEP

check_view = street.check_view
render = street.render
render_scenes = worker.render_scenes
