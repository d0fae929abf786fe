"""Weights of other frameworks in, and ours out."""
