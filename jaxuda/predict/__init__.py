"""Segments pictures that have no labels."""
