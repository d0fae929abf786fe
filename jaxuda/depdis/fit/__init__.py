"""Class-wise mixtures of the source's pixels, fitted and drawn."""
