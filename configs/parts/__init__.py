"""What configs have in common: pairs of domains, recipes, published files."""
