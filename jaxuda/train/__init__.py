"""Training: the loop, and what a segmentation method does in it."""
