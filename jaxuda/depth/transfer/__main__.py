"""The command `python -m jaxuda.depth.transfer`."""

from jaxuda.depth.transfer import transferring
from jaxuda.ui import command

if __name__ == '__main__':
  transferring.define_flags()
  command.run(transferring.main)
