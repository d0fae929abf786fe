"""Scripts that are copied into an export; they do not need this package."""
