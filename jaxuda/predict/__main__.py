"""The command `python -m jaxuda.predict`."""

from jaxuda.predict import prediction
from jaxuda.ui import command

if __name__ == '__main__':
  prediction.define_flags()
  command.run(prediction.main)
