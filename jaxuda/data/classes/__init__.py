"""Class sets and how the ids of each dataset map to them."""
