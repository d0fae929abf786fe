"""All stages of Depth Distribution, one after another."""
