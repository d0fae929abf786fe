"""The command `python -m jaxuda.depdis.pseudo`."""

from jaxuda.depdis.pseudo import labelling
from jaxuda.ui import command

if __name__ == '__main__':
  labelling.define_flags()
  command.run(labelling.main)
