"""The command `python -m jaxuda.depdis.run`."""

from jaxuda.depdis.run import stages
from jaxuda.ui import command

if __name__ == '__main__':
  stages.define_flags()
  command.run(stages.main)
