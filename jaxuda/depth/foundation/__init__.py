"""Depth predicted by a foundation network (Depth Anything)."""
