"""The command `python -m jaxuda.evaluate`."""

from jaxuda.evaluate import evaluation
from jaxuda.ui import command

if __name__ == '__main__':
  evaluation.define_flags()
  command.run(evaluation.main)
