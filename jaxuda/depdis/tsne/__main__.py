r"""Draws how well networks separate the target's classes, by t-SNE.

    jaxuda depdis tsne --workdirs=RUN,RUN --out=FILE.png \
        [--checkpoint=last|best|STEP] [--space=features] \
        [--images=30] [--pixels=100] [--split=val] [--seed=0]

There is a panel for each run and space, see `embedding`. Runs may use different
methods, but must have the same target and classes. The spaces are one or more
of `features`, the output of the backbone; `output`, the probabilities; and
`seg_depth` and `seg_density`, self-information times depth or density, the two
in figure 4 of Depth Distribution: --space=seg_depth,seg_density. The silhouette
of the classes in each space, before the projection, is also printed.
"""

from absl import flags

from jaxuda.depdis.tsne import embedding
from jaxuda.ui import command


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  command.hide_accelerators()
  names = ('images', 'pixels', 'split', 'seed')
  options = {name: given[name].value for name in names}
  options |= {'which': given.checkpoint, 'spaces': given.space}
  embedding.run(given.workdirs, given.out, **options)


if __name__ == '__main__':
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_string('out', None, 'PNG file to write.', required=True)
  command.define_checkpoint('best')
  flags.DEFINE_list(
    *('space', ['features']),
    f'Spaces to draw, some of {", ".join(embedding.SPACES)}.',
  )
  flags.DEFINE_integer('images', 30, 'Number of images read.', lower_bound=1)
  flags.DEFINE_integer('pixels', 100, 'Pixels per class.', lower_bound=1)
  flags.DEFINE_string(
    'split', None, "Split to draw; the config's eval_split if unset."
  )
  flags.DEFINE_integer(
    'seed', 0, 'Seed of the pixels and of t-SNE.', lower_bound=0
  )
  command.run(main)
