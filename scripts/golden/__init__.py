"""Checks against the numbers of reference implementations, one per method."""
