"""A procedural street renderer in NumPy and OpenCV: no TensorFlow, no JAX.

`street.render` draws a picture, its labels and its depth; everything else here
serves it. A scene is sampled as plane quadrilaterals in metres (`layout`,
`ground`, `vehicles`, `people`, `furniture` into a `mesh`), seen through a
`camera`, drawn into a z-buffer (`raster`), coloured surface by surface
(`material`) and turned into a photograph (`look`).
"""
