"""Writes, checks and finds prepared datasets."""
