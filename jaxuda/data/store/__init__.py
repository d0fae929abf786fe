"""Prepared datasets: written once, checked, and found again."""
