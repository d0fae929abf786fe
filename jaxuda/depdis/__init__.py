"""The stages of Depth Distribution (Wu & Liu, NeurIPS 2022) around training.

`fit` fits the source's class-wise mixtures; `pseudo` writes pseudo-labels of
the target, refined by `prior`; `run` runs all stages in turn. The adversarial
stage is the method `depdis`, the last stage the method `self_training`.
"""
