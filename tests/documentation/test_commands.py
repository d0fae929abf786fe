"""Every command in the README and docs/ is valid; none of them is run.

Verbs, scripts, flags and their values, configs with their arguments and fields,
and tables must exist.
"""

import contextlib
import functools
import importlib.util
import itertools
import pathlib
import re
import runpy
import shlex
import sys
import tomllib
import warnings

from absl import flags
import pytest

from jaxuda import __main__ as verbs
from jaxuda import errors
from jaxuda import methods
from jaxuda.reproduce import arguments
from jaxuda.reproduce import runs
from jaxuda.ui import command
from jaxuda.weights import conversion
from jaxuda.weights import runs as weights_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))
FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.DOTALL | re.MULTILINE)
OTHERS = ('cd', 'gcloud', 'tensorboard')
# The config that docs/extend.md shows how to write.
EXAMPLE = 'configs/pseudo_label.py'


def _read_lines(block):
  """Yields the words of each command of a block."""
  line = ''
  for part in block.replace('\\\n', ' ').splitlines():
    line += f'{part}\n'
    try:
      words = shlex.split(line, comments=True)
    except ValueError:
      continue  # A quotation continues on the next line.
    line = ''
    yield from _split(words)


def _split(words):
  """Yields the commands in a line, or in the quotations in it."""
  for word in words:
    if ' python ' in word:
      yield from _read_lines(word.removeprefix('--command='))
  while '&&' in words:
    end = words.index('&&')
    yield words[:end]
    words = words[end + 1 :]
  if words[:1] == ['srun']:
    words = words[1:]
  if '>' in words:
    words = words[: words.index('>')]
  if words:
    yield words


@functools.cache
def _find_flags(module):
  """Returns a command's flags, and the other arguments of `command.run`.

  The start of the command is executed, up to where it would parse its flags.
  """
  known, options = flags.FlagValues(), {}
  with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
    warnings.simplefilter('ignore')
    for name, value in vars(known).items():
      patch.setitem(vars(flags.FLAGS), name, value)
    patch.setattr(command, 'run', lambda main, **told: options.update(told))
    patch.setattr(sys, 'argv', [module])
    with contextlib.suppress(SystemExit):
      if module.endswith('.py'):
        runpy.run_path(str(ROOT / module), run_name='__main__')
      else:
        runpy.run_module(module, run_name='__main__', alter_sys=True)
  return known, options


def _check_flags(module, words, *, complete):
  """Checks arguments of a command; prose may leave some out."""
  known, options = _find_flags(module)
  end = words.index('--') if '--' in words else len(words)
  words, after = words[:end], words[end + 1 :]
  assert not after or options.get('pass_on')
  _check_fields(after)
  overrides = [x for x in words if re.match('--(no)?config[.]', x)]
  words = [x for x in words if x not in overrides]
  known.unparse_flags()
  for name in known:
    known[name].unparse()
  if complete:
    _, *rest = known(['', *words])
    argument = options.get('argument', '')
    assert bool(rest) == bool(argument), rest
    assert len(rest) < 2 or argument.endswith('...'), rest
  else:
    for word in words:
      if word.startswith('--'):
        _check_flag(known, word)
  config = known['config'].value if 'config' in known else None
  if config is None or config.isupper():
    _check_fields(overrides)
  elif config != EXAMPLE:
    command.read_config(config, overrides)
  if 'table' in known and known['table'].value:
    path = ROOT / 'configs' / 'tables' / '__init__.py'
    tables = arguments.read_tables(path)
    table = tables[arguments.find_table(tables, known['table'].value)]
    labels = [row.label for row in table.rows]
    assert {*known['rows'].value} <= {*labels, *map(runs.slug, labels)}


def _check_flag(known, word):
  name, _, value = word.removeprefix('--').partition('=')
  if name == 'help':
    return
  if name not in known and known[name.removeprefix('no')].boolean:
    return
  if '=' in word:
    known[name].parse(value)


@functools.cache
def _find_fields():
  """Returns the dotted names of all groups and fields of all configs."""
  found = set()
  for path in (ROOT / 'configs').glob('*.py'):
    if 'def get_config' in path.read_text():
      config = command.read_config(path.stem)
      found |= {*command._flatten(config.to_dict())}
  return found


def _check_fields(overrides):
  for word in overrides:
    field = re.fullmatch('--(?:no)?config[.]([^=]+)(=.*)?', word)[1]
    assert field in _find_fields()


def _check_script(path, words):
  """Checks the arguments of a script with its own parser."""
  module = 'scripts/accelerator/main.py' if path.endswith('.sh') else path
  with pytest.MonkeyPatch.context() as patch:
    # '--method=...' stands for any value.
    patch.setattr(sys, 'argv', [path, *(x for x in words if '...' not in x)])
    patch.syspath_prepend(ROOT / 'scripts')
    spec = importlib.util.spec_from_file_location('script', ROOT / module)
    script = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, 'script', script)
    spec.loader.exec_module(script)
    script.parse_args()


def check(words, *, complete=True):
  """Raises an error of any kind if words are not a command of this project.

  Args:
    words: the words of a line that is a single command.
    complete: whether everything that the command needs must be present.
  """
  first, rest = words[0], words[1:]
  if first == 'python' and rest[0] == '-m':
    first, rest = rest[1], rest[2:]
  if first == 'jaxuda':
    groups = {x.partition(' ')[0] for x in verbs._VERBS if ' ' in x}
    if rest[:1] in ([], ['VERB']) or (len(rest) == 1 and rest[0] in groups):
      return
    count = 1 if rest[0] in verbs._VERBS else 2
    _check_flags(
      f'jaxuda.{verbs._VERBS[" ".join(rest[:count])]}',
      rest[count:],
      complete=complete,
    )
  elif first.startswith('jaxuda.'):
    _check_flags(first, rest, complete=complete)
  elif first in ('python', 'bash'):
    path = ROOT / rest[0]
    assert path.is_file()
    if 'def parse_args' in path.read_text() or 'accelerator' in path.name:
      _check_script(rest[0], rest[1:])
    elif path.suffix == '.py':
      assert 'command.run(' in path.read_text()  # Else it would really run.
      _check_flags(rest[0], rest[1:], complete=complete)
  elif first == 'pip':
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    for extra in re.findall(r'^\.\[(\w+)\]$', '\n'.join(rest), re.MULTILINE):
      assert extra in project['optional-dependencies']
  elif first.startswith('configs/'):
    command.read_config(first)
  else:
    # Paths are of a layout of files.
    assert first in OTHERS or '/' in first, first


def _check_named(word):
  """Checks a flag or field named in prose; any command may have it."""
  if re.match('(--(no)?)?config[.]', word):
    _check_fields(['--' + word.removeprefix('--')])
    return
  for module in verbs._VERBS.values():
    try:
      _check_flag(_find_flags(f'jaxuda.{module}')[0], word)
    except KeyError:
      continue
    return
  option = repr(word.partition('=')[0])
  scripts = [x.read_text() for x in (ROOT / 'scripts').rglob('*.py')]
  assert any(f'{option}, ' in text for text in scripts), word


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.stem)
def test_page(path):
  text = path.read_text()
  for language, block in FENCE.findall(text):
    for words in _read_lines(block) if not language else ():
      check(words)
  for span in re.findall('`([^`]+)`', FENCE.sub('', text)):
    if re.match(r'jaxuda \w|python -m jaxuda|(python|bash) scripts/', span):
      check(shlex.split(span), complete=False)
    elif re.match(r'(?!--xla|.*config\.(json|FIELD))(config\.|--[a-z])', span):
      for word in shlex.split(span):
        _check_named(word)


@pytest.mark.parametrize(
  ('line', 'error'),
  [
    ('jaxuda trian --workdir=a', KeyError),
    ('jaxuda train --config=dada --workdr=a', flags.UnrecognizedFlagError),
    ('jaxuda train --config=dada', flags.IllegalFlagValueError),
    ('jaxuda train --config=dada --workdir=a b', AssertionError),
    ('jaxuda train --config=dada:pair=sky --workdir=a', errors.UserError),
    (
      'python -m jaxuda.main --config=dada --workdir=a --config.sed=1',
      errors.UserError,
    ),
    ('jaxuda reproduce --table=dada/9 --workdir=a', errors.UserError),
    ('jaxuda reproduce --table=dada/3 --rows=S9 --workdir=a', AssertionError),
    ('jaxuda reproduce --list -- --config.sed=1', AssertionError),
    ('python scripts/compare.py --workdir=a', flags.UnrecognizedFlagError),
    ('python scripts/benchmark.py --method=none', SystemExit),
    ('bash scripts/accelerator_check.sh --minuets=9', SystemExit),
    ('bash scripts/tset.sh', AssertionError),
    ("pip install '.[tset]'", AssertionError),
    ('jaxdua train', AssertionError),
  ],
)
def test_mistakes_are_found(line, error):
  (words,) = _read_lines(line)
  with pytest.raises(error):
    check(words)


def test_quoted_and_joined_commands_are_found():
  block = (
    'gcloud --command="\n  cd jaxuda && python -m jaxuda.main \\\n  --a > b"\n'
  )
  assert [x[-1] for x in _read_lines(block)][:2] == ['jaxuda', '--a']


@pytest.mark.parametrize('word', ['--wokdir', '--config.sed', 'config.sed=3'])
def test_mistakes_of_a_text_are_found(word):
  with pytest.raises(AssertionError):
    _check_named(word)


def test_a_run_begins_with_one_of_the_same_head():
  """What a command's `config.initial` names is the run of one before it."""
  seen, begun = {}, 0
  pages = (page.read_text() for page in PAGES)
  blocks = [x for page in pages for kind, x in FENCE.findall(page) if not kind]
  for words in itertools.chain.from_iterable(map(_read_lines, blocks)):
    given = dict(x.partition('=')[::2] for x in words if '=' in x)
    if words[:2] != ['jaxuda', 'train'] and 'jaxuda.main' not in words:
      continue
    if given['--config'] == EXAMPLE or '--workdir' not in given:
      continue
    fields = [x for x in words if x.startswith('--config.')]
    method = methods.create(command.read_config(given['--config'], fields))
    seen[given['--workdir']] = method
    if before := seen.get(given.get('--config.initial')):
      begun += 1
      needed = weights_of.required(before)
      assert not conversion.compare(needed, method.network), words
  assert begun >= 2
