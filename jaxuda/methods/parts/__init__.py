"""Building blocks of several methods."""
