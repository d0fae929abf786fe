"""Losses: pure functions of a prediction and a target, to a scalar."""
