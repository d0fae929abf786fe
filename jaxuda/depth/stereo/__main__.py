"""The command `python -m jaxuda.depth.stereo`."""

from jaxuda.depth.stereo import estimation
from jaxuda.ui import command

if __name__ == '__main__':
  estimation.define_flags()
  command.run(estimation.main)
