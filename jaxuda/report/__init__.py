"""A report on runs, as a single HTML file."""
