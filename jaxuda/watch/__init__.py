"""A page over runs that are being trained, which refreshes by itself."""
