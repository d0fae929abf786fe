"""The command `python -m jaxuda.report`."""

from jaxuda.report import reporting
from jaxuda.ui import command

if __name__ == '__main__':
  reporting.define_flags()
  command.run(reporting.main, argument='RUN...')
