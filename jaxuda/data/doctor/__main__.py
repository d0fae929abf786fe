"""The command `python -m jaxuda.data.doctor`."""

from jaxuda.data.doctor import checkup
from jaxuda.ui import command

if __name__ == '__main__':
  checkup.define_flags()
  command.run(checkup.main)
