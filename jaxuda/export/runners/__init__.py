"""Scripts that an export takes along; they need nothing of this package."""
