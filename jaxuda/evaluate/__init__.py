"""Scores of checkpoints, with the protocol by which they were measured."""
