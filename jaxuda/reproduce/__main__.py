"""The command `python -m jaxuda.reproduce`."""

from jaxuda.reproduce import reproducing
from jaxuda.ui import command

if __name__ == '__main__':
  reproducing.define_flags()
  command.run(reproducing.main, pass_on=True)
