"""Configurations: one file per method. They hold numbers and names only."""
