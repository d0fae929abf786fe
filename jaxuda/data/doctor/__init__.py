"""Finds everything about a dataset that would spoil a training run."""
