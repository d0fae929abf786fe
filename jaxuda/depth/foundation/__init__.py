"""Depth that a foundation network (Depth Anything) sees in images."""
