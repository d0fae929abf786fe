"""Draws feature spaces by t-SNE."""
