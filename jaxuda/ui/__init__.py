"""The command line, the terminal, and pictures for people."""
