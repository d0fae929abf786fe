"""The command line, the terminal, and pictures to look at."""
