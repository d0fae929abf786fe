"""The command `python -m jaxuda.data.prepare`."""

from jaxuda.data.prepare import preparing
from jaxuda.ui import command

if __name__ == '__main__':
  preparing.define_flags()
  command.run(preparing.main)
