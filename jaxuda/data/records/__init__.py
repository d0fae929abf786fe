"""Prepared records, read by name or by number."""
