"""Translates a source's images with an image transform network."""
