"""Files as they lie on a user's disk."""
