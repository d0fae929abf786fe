"""Datasets that were prepared: written once, checked, found again."""
