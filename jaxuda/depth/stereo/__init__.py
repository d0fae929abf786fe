"""Depth from rectified pairs of images."""
