"""Pictures and computing budgets of the notebooks."""
