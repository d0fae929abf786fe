"""From a paper's table to runs, and from runs to a table.

choices    what is asked for
plan       the runs that a table needs
folder     the folder that they lie in, and who works there
progress   how far a run is
running    processes, one per run
overview   what is shown meanwhile
results    means, deviations, differences, protocol
writing    the table as text, Markdown and CSV
"""
