"""The stages of Depth Distribution (Wu & Liu, NeurIPS 2022) around training.

`fit`: the source's class-wise mixtures; `pseudo`: pseudo-labels of the target,
refined by `prior`; `run`: all stages, one after the other. The adversarial
stage is the method `depdis`, the last one the method `self_training`.
"""
