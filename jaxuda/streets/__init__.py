"""A procedural street renderer in NumPy and OpenCV: no TensorFlow, no JAX.

This module is its door: other rooms use nothing else of it. `render` draws a
picture, its labels and its depth, `render_scenes` many of them as files. A
scene is sampled as plane quadrilaterals in metres (`layout`, `ground`,
`traffic` and `furniture` fill a `site` with the looks of a domain in `domains`
into a `mesh`), seen through a `camera`, drawn into a z-buffer (`raster`,
`shadow`), coloured surface by surface (`material`) and turned into a photograph
(`look`).
"""

from jaxuda.streets import camera as cameras
from jaxuda.streets import domains
from jaxuda.streets import street
from jaxuda.streets import worker

DOMAINS = domains.NAMES
# Metres between the two cameras, and between two frames.
BASELINE, STEP = cameras.BASELINE, cameras.STEP

check_view = street.check_view
render = street.render
render_scenes = worker.render_scenes
