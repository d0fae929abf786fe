"""Sizes, aspects and units: pixels on their way to the network."""
