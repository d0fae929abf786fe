"""What `accelerator_check.sh` runs, a process a stage; see `plan`."""
