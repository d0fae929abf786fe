"""Tools that produce the depth that a dataset lacks.

`stereo`: semi-global matching of rectified pairs; `mono`: a network trained on
image sequences by self-supervision; `transfer`: a network trained on the depth
of another dataset; `foundation`: a pretrained network. Each writes a folder
that `config.data.target.depth_dir` reads.
"""
