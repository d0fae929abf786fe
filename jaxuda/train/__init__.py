"""Training: the loop, and the trainings of segmentation methods."""
