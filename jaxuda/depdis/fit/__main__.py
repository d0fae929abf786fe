"""The command `python -m jaxuda.depdis.fit`."""

from jaxuda.depdis.fit import fitting
from jaxuda.ui import command

if __name__ == '__main__':
  fitting.define_flags()
  command.run(fitting.main)
