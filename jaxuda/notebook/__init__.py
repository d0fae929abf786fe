"""What the notebooks show, and how much they compute."""
