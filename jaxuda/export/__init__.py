"""Exports trained networks for use without this package."""
