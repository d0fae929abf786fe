"""The source's images as a transform network sees them."""
