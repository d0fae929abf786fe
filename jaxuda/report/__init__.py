"""A page over runs, as one HTML file."""
