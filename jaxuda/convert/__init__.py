"""Converts other frameworks' weights to ours, and ours to theirs."""
