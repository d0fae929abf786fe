"""Feature spaces drawn by t-SNE."""
