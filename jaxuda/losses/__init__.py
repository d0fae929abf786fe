"""Losses: pure functions of a prediction and a target, to a scalar.

The examples in the docstrings are tests; they use their module's names.
"""
