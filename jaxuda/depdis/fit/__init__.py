"""Fits and draws class-wise mixtures of the source's pixels."""
