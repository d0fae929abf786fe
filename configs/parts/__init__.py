"""What the configs share: pairs of domains, recipes, published files."""
