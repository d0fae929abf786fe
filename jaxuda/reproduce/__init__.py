"""From a paper's table to runs, and from runs to a table.

arguments    the table and the seeds that are asked for
plan         the runs that a table needs, and how its rows are compared
runs         a row's run: its command, its config, its folders
folder       the folder that they lie in, and who works there
progress     how far a run is
running      the processes of the runs
overview     what is shown meanwhile
results      means, deviations and differences, as text, Markdown and CSV
reproducing  all of it in order
"""
