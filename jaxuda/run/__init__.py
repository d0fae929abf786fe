"""The folder of a run, and the processes that write it."""
