"""Trained networks for use without this package."""
