"""A training step of DADA in PyTorch, for `peer_step.py` to time."""
