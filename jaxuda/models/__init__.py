"""Flax networks: backbones, decoders, discriminators."""
