"""Scores of checkpoints, with the protocol they were measured by."""
