"""The stages that `accelerator_check.sh` runs, one process each; see `plan`."""
