"""Label maps of pictures that have no labels."""
