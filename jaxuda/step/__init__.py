"""All that a compiled training step is made of.

The state, the optimizers, the devices and the random streams: arrays and pure
functions only, without TensorFlow.
"""
