"""Finds, pairs and decodes the files on a user's disk."""
