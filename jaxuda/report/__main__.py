r"""Reports on runs in one page: scores, curves, pictures, confusions.

    jaxuda report RUN [RUN ...] [--out=report.html] \
        [--checkpoint=last|best] [--images=6] [--limit=N] [--nopredict] \
        [--notsne] [--data_dir=DIR] [--manual_dir=DIR]

The page is one file that needs no internet connection. All runs are compared
with the first one. Scores are read from scores.json; the chosen checkpoint of
every run is restored and predicts the target's evaluation split once (--limit:
its first N images), for pictures, confusion matrices and negative transfer. If
a checkpoint is missing, the page shows what the run's other files hold, and
says so. Runs that were scored in different ways are in separate tables. The
checkpoints that the criteria without labels would choose are shown next to the
best one. How the criteria rank all evaluations of all runs (Spearman's
correlation) is printed, too.
"""

from absl import flags

from jaxuda.report import reporting
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import files


def main(*workdirs: str) -> None:
  """Runs the command line."""
  command.hide_accelerators()
  given = flags.FLAGS
  out = files.check_file(given.out)
  content = reporting.collect(
    workdirs,
    checkpoint=given.checkpoint,
    images=given.images,
    limit=given.limit,
    predict=given.predict,
    tsne=given.tsne,
    data_dir=given.data_dir,
    manual_dir=given.manual_dir,
  )
  size = reporting.write(out, reporting.render(content))
  for group in content['groups']:
    if group['choices'] and group['choices']['shown']:
      display.print_table(
        f"Spearman's correlation with {group['choices']['score']},"
        f' {group["title"]}',
        ('criterion', 'all evaluations', 'within a run', 'last of each run'),
        group['choices']['shown'],
      )
  for note in content['notes']:
    print(f'note: {note}')
  print(f'wrote {out}, {size / 2**20:.1f} MiB, runs: {len(workdirs)}')


def _define_flags():
  flags.DEFINE_string('out', 'report.html', 'HTML file to write.')
  flags.DEFINE_enum(
    *('checkpoint', 'last', ['last', 'best']),
    'Checkpoint whose predictions are shown.',
  )
  flags.DEFINE_integer('images', 6, 'Number of pictures shown.', lower_bound=0)
  flags.DEFINE_integer(
    'limit', None, 'Predict only the first N images.', lower_bound=1
  )
  flags.DEFINE_bool('predict', True, 'Restore the runs and predict with them.')
  flags.DEFINE_bool('tsne', True, 'Also draw the features by t-SNE.')
  command.define_data()


if __name__ == '__main__':
  _define_flags()
  command.run(main, argument='RUN...')
