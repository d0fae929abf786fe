"""Runs all stages of Depth Distribution in turn."""
