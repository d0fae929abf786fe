"""The command `python -m jaxuda.convert`."""

from jaxuda.convert import converting
from jaxuda.ui import command

if __name__ == '__main__':
  converting.define_flags()
  command.run(converting.main, argument='FILE or RUN')
