"""Depth learned from image sequences."""
