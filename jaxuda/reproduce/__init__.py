"""From a paper's table to runs, and from runs to a table.

arguments    parses the requested table and seeds
plan         the runs that a table needs, and how its rows are compared
runs         the run of a row: its command, its config, its folders
folder       the folder that holds the runs, and its lock
progress     how far a run has got
running      the processes of the runs
overview     the display while they run
results      means, deviations and differences
presenting   the table as text, Markdown and CSV
reproducing  all of these in order
"""
