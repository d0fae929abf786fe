"""Figures and compute budgets for the notebooks."""
