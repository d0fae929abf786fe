r"""Draws how well networks keep the target's classes apart, by t-SNE.

    jaxuda depdis tsne --workdirs=RUN,RUN --out=FILE.png \
        [--checkpoint=last|best|STEP] [--space=features|output|depth|density] \
        [--images=30] [--pixels=100] [--split=val] [--seed=0]

A panel for each run, see `embedding`. Runs may be of different methods, but of
the same target and classes. `features` are what the backbone puts out, `output`
the probabilities, `depth` and `density` the self-information times the output
of that branch. The silhouette of the classes in that space, before it is
flattened, is printed besides.
"""

from absl import flags

from jaxuda.depdis.tsne import embedding
from jaxuda.ui import command


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  command.hide_accelerators()
  names = ('space', 'images', 'pixels', 'split', 'seed')
  options = {name: given[name].value for name in names}
  embedding.run(given.workdirs, given.out, which=given.checkpoint, **options)


if __name__ == '__main__':
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_string('out', None, 'PNG to write.', required=True)
  command.define_checkpoint('best')
  flags.DEFINE_enum('space', 'features', embedding.SPACES, 'What is drawn.')
  flags.DEFINE_integer('images', 30, 'Images that are read.', lower_bound=1)
  flags.DEFINE_integer('pixels', 100, 'Pixels of each class.', lower_bound=1)
  flags.DEFINE_string('split', None, "The config's eval_split if unset.")
  flags.DEFINE_integer('seed', 0, 'Of the pixels and of t-SNE.', lower_bound=0)
  command.run(main)
