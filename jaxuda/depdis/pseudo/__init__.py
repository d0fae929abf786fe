"""Pseudo-labels of the target, refined by a spatial prior."""
