"""The site of the documentation; `scripts/site.sh` makes it."""
