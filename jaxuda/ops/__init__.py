"""Pure array functions that run on the device.

The examples in the docstrings are tests; they use their module's names.
"""
