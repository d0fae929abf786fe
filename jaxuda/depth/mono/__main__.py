"""The command `python -m jaxuda.depth.mono`."""

from jaxuda.depth.mono import learning
from jaxuda.ui import command

if __name__ == '__main__':
  learning.define_flags()
  command.run(learning.main)
