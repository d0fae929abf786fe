"""Depth of single images, learned on the source."""
