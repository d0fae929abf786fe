"""The command `jaxuda`: lists the verbs, and runs one of them."""

import ast
import difflib
import pathlib
import runpy
import sys

_MODULES = (
  *('train', 'evaluate', 'predict', 'report', 'watch', 'reproduce'),
  *('convert', 'export', 'translate', 'data.doctor', 'data.prepare'),
  *('depth.stereo', 'depth.mono', 'depth.foundation', 'depth.transfer'),
  *('depdis.run', 'depdis.fit', 'depdis.pseudo', 'depdis.tsne'),
)
# 'doctor' -> 'data.doctor', 'depth mono' -> 'depth.mono'.
_VERBS = {x.removeprefix('data.').replace('.', ' '): x for x in _MODULES}


def main() -> None:
  """Runs a verb, or lists all verbs or those of a group.

  Raises:
    SystemExit: 1 and a line on stderr if there is no such verb.
  """
  words = sys.argv[1:]
  groups = {verb.partition(' ')[0] for verb in _VERBS if ' ' in verb}
  count = 2 if words[:1] and words[0] in groups else 1
  verb, rest = ' '.join(words[:count]), words[count:]
  if verb in _VERBS:
    sys.argv[1:] = rest
    module = f'jaxuda.{_VERBS[verb]}'
    runpy.run_module(module, run_name='__main__', alter_sys=True)
  elif words[count - 1 :] in ([], ['--help']):
    _list(words[0] if count == 2 else '')
  else:
    near = difflib.get_close_matches(verb, [*_VERBS, *groups], n=1) or _VERBS
    sys.exit(f'error: unknown verb {verb!r}; expected {", ".join(near)}')


def _list(group):
  """Prints the verbs of a group, or all of them for ''."""
  print('jaxuda VERB --flag=value ...; jaxuda VERB --help lists the flags.\n')
  for verb, module in _VERBS.items():
    if verb.startswith(group):
      # The first line of the command's docstring, read without importing it.
      path = pathlib.Path(__file__).parent.joinpath(*module.split('.'))
      tree = ast.parse((path / '__main__.py').read_text())
      print(f'  {verb:<18}{ast.get_docstring(tree).splitlines()[0]}')


if __name__ == '__main__':
  main()
