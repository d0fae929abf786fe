"""The command `python -m jaxuda.depdis.tsne`."""

from jaxuda.depdis.tsne import embedding
from jaxuda.ui import command

if __name__ == '__main__':
  embedding.define_flags()
  command.run(embedding.main)
