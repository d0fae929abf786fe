"""Training: the loop, and its use for segmentation methods."""
