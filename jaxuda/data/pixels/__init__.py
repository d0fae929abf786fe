"""Prepares pictures for the network: sizes, aspect ratios and units."""
