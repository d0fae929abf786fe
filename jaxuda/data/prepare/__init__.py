"""Prepares a dataset once, from the user's own files."""
