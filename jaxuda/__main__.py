"""The command `jaxuda`: one line for each verb, and the way to it."""

import ast
import difflib
import pathlib
import runpy
import sys

# Verb -> module, in the order in which they are listed.
_VERBS = {
  'train': 'train',
  'evaluate': 'evaluate',
  'predict': 'predict',
  'report': 'report',
  'reproduce': 'reproduce',
  'convert': 'convert',
  'export': 'export',
  'translate': 'translate',
  'doctor': 'data.doctor',
  'prepare': 'data.prepare',
  'depth stereo': 'depth.stereo',
  'depth mono': 'depth.mono',
  'depth transfer': 'depth.transfer',
  'depdis run': 'depdis.run',
  'depdis fit': 'depdis.fit',
  'depdis pseudo': 'depdis.pseudo',
  'depdis tsne': 'depdis.tsne',
}


def main() -> None:
  """Runs a verb, or lists all of them, or those of a group.

  Raises:
    SystemExit: 1 and a line on stderr if there is no such verb.
  """
  words = sys.argv[1:]
  groups = {verb.partition(' ')[0] for verb in _VERBS if ' ' in verb}
  grouped = bool(words) and words[0] in groups
  verb, rest = ' '.join(words[: 1 + grouped]), words[1 + grouped :]
  if verb in _VERBS:
    sys.argv[1:] = rest
    runpy.run_module(
      f'jaxuda.{_VERBS[verb]}', run_name='__main__', alter_sys=True
    )
  elif words[grouped:] in ([], ['-h'], ['--help']):
    _list(words[0] if grouped else '')
  else:
    near = difflib.get_close_matches(verb, [*_VERBS, *groups], n=1)
    expected = near or [x for x in _VERBS if not grouped or words[0] in x]
    sys.exit(f'error: unknown verb {verb!r}; expected {", ".join(expected)}')


def _list(group):
  """Prints the verbs of a group, all of them for ''."""
  print('jaxuda VERB --flags; jaxuda VERB --help tells its flags.\n')
  for verb, module in _VERBS.items():
    if verb.startswith(group):
      print(f'  {verb:<16}{_describe(module)}')


def _describe(module):
  """The first line of a command's docstring; nothing is imported for it."""
  path = pathlib.Path(__file__).parent.joinpath(*module.split('.'))
  tree = ast.parse((path / '__main__.py').read_text())
  return ast.get_docstring(tree).splitlines()[0]


if __name__ == '__main__':
  main()
