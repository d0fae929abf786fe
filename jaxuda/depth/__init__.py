"""Tools that make the depth which a dataset does not have.

`stereo`: semi-global matching of rectified pairs; `mono`: a network that learns
depth from image sequences by itself; `transfer`: a network that learns it on
another dataset. Each writes a folder that `config.data.target.depth_dir` reads.
"""
