"""Sizes, aspects and units of pictures on their way to the network."""
