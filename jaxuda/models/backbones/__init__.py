"""Backbones: an image -> maps of features, from fine to coarse."""
