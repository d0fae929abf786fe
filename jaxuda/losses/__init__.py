"""Losses: pure functions of a prediction and a target, to a scalar.

The examples in the docstrings are tests and use the names of their module.
"""
