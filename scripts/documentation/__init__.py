"""The documentation site, which `scripts/site.sh` builds."""
