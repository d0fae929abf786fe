r"""Shows runs on a web page while they train; it refreshes itself.

    jaxuda watch RUN [RUN ...] [--port=PORT]

It prints an address that only this machine can reach (127.0.0.1). The page
shows the progress of each run, its rate and the time left, losses, the last and
the best scores, the criteria that need no labels, curves, and the newest
pictures. The command only reads files and never touches an accelerator, so that
it can run alongside the training. A run that has not started yet appears once
it does; a folder of runs, such as that of `jaxuda reproduce`, stands for all
runs in it, up to two levels deep, and one of `jaxuda depdis run` for its
trainings. Ctrl-C ends it.

From another machine: `ssh -L 7007:127.0.0.1:7007 HOST` with --port=7007.
"""

from absl import flags

from jaxuda.ui import command
from jaxuda.watch import serving
from jaxuda.watch import watching


def main(*workdirs: str) -> None:
  """Runs the command line."""
  watch = watching.Watch(workdirs)
  with serving.listen(watch, port=flags.FLAGS.port) as server:
    address = f'http://127.0.0.1:{server.server_port}/'
    print(f'{address} shows the runs; Ctrl-C ends it', flush=True)
    try:
      server.serve_forever()
    except KeyboardInterrupt:
      print('\nended')


def _define_flags():
  flags.DEFINE_integer(
    'port',
    0,
    'Port to listen on; 0 picks a free one.',
    lower_bound=0,
    upper_bound=65535,
  )


if __name__ == '__main__':
  _define_flags()
  command.run(main, argument='RUN...')
