"""Depth of single images, predicted by a network trained on the source."""
