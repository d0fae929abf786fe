"""Files on a user's disk: finding, pairing and decoding them."""
