"""The command `python -m jaxuda.export`."""

from jaxuda.export import exporting
from jaxuda.ui import command

if __name__ == '__main__':
  exporting.define_flags()
  command.run(exporting.main, argument='RUN or FILE')
