"""Building blocks of a compiled training step.

The state, the optimizers, the devices and the random streams: arrays and pure
functions only, without TensorFlow.
"""
