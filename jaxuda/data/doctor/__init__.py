"""Checks a dataset for everything that would spoil a training run."""
