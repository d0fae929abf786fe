"""The command `python -m jaxuda.translate`."""

from jaxuda.translate import translating
from jaxuda.ui import command

if __name__ == '__main__':
  translating.define_flags()
  command.run(translating.main)
