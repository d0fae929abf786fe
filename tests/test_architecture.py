"""The rules that keep the house in order, checked on its source text."""

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'jaxuda'

# room: (rooms of jaxuda, packages of others) that it may import. A room is a
# module or folder directly under jaxuda. Leaves first; a new room gets a row.
ROOMS = {
  'errors': ('', ''),
  'rng': ('', 'jax'),
  'metrics': ('', 'jax numpy'),
  'signals': ('', ''),
  'display': ('', 'rich'),
  'pictures': ('errors', 'PIL cv2 numpy'),
  'parallel': ('errors', 'jax numpy'),
  'optim': ('errors', 'jax optax'),
  'state': ('parallel', 'flax jax optax'),
  'ops': ('errors', 'jax numpy'),
  'losses': ('errors ops', 'jax numpy'),
  'mixtures': ('errors', 'numpy'),
  'models': ('errors ops parallel', 'flax jax numpy'),
  'adversary': ('losses models optim state', 'jax'),
  'translator': ('losses models ops optim parallel state', 'jax'),
  'methods': (
    'adversary errors losses metrics mixtures models ops optim parallel rng'
    ' state translator',
    'jax numpy',
  ),
  'data': (
    'display errors',
    'absl cv2 etils h5py numpy PIL scipy tensorflow tensorflow_datasets yaml',
  ),
  'command': ('errors', 'absl ml_collections tensorflow'),
  'cluster': ('command errors parallel', 'absl jax numpy'),
  'preparation': ('', 'ml_collections'),
  'checkpoint': ('errors parallel', 'absl jax numpy orbax'),
  'workdir': ('checkpoint errors methods rng', 'jax ml_collections numpy'),
  'comparison': ('errors workdir', ''),
  'weights': (
    'checkpoint errors methods models state workdir',
    'flax jax ml_collections ml_dtypes numpy safetensors',
  ),
  'convert': ('command errors weights workdir', 'absl'),
  'export': (
    'checkpoint command data errors state weights workdir',
    'absl jax ml_collections numpy tensorflow',
  ),
  'runners': ('', 'PIL jax numpy tensorflow'),
  'views': ('data errors ops', 'PIL absl jax numpy'),
  'counting': ('data metrics views', 'jax numpy'),
  'overlay': ('errors pictures', 'cv2 numpy'),
  'warm_start': ('checkpoint errors weights workdir', 'jax'),
  'recorder': ('pictures workdir', 'clu numpy'),
  'window': ('checkpoint errors', 'jax numpy'),
  'scores': ('data display errors metrics', 'numpy'),
  'evaluate': (
    'cluster command counting data display errors metrics parallel scores views'
    ' weights workdir',
    'absl jax ml_collections numpy',
  ),
  'provenance': ('workdir', 'jax'),
  'own_classes': ('data errors workdir', 'jax ml_collections'),
  'translate': (
    'command data depth display errors pictures workdir',
    'absl jax numpy',
  ),
  'image_files': ('errors', ''),
  'predict': (
    'command data display errors image_files methods ops overlay pictures views'
    ' weights workdir',
    'absl jax ml_collections numpy',
  ),
  'budget': ('errors', 'ml_collections'),
  'gallery': (
    'data errors methods own_classes pictures predict workdir',
    'ml_collections numpy',
  ),
  'loop': (
    'checkpoint cluster display errors parallel provenance recorder rng signals'
    ' window workdir',
    'clu jax ml_collections',
  ),
  'train': (
    'data display evaluate gallery loop methods own_classes parallel pictures'
    ' preparation recorder rng scores signals warm_start workdir',
    'jax ml_collections',
  ),
  'depdis': (
    'command data display errors mixtures models ops pictures train workdir',
    'absl cc3d cv2 jax ml_collections numpy scipy sklearn',
  ),
  'reporting': (
    'comparison counting data display errors metrics pictures provenance scores'
    ' workdir',
    'PIL jax jinja2 matplotlib numpy',
  ),
  'report': (
    'command data depdis errors provenance reporting workdir',
    'absl',
  ),
  'depth': (
    'checkpoint command data display errors image_files loop losses methods'
    ' models ops own_classes parallel pictures recorder rng state train views'
    ' workdir',
    'PIL absl cv2 flax jax ml_collections numpy optax scipy',
  ),
  'reproduction': (
    'checkpoint command comparison display errors methods own_classes'
    ' provenance workdir',
    'ml_collections rich',
  ),
  'reproduce': ('command errors reproduction signals', 'absl'),
  'main': ('cluster command errors train', 'absl ml_collections'),
}

# Parts of a room that are held to more than their room.
INNER_ROOMS = {
  'data.frames': ('errors', 'PIL cv2 numpy'),
  'data.aspect': ('', ''),
  'data.labels': ('errors', 'numpy'),
  'data.label_tables': ('', ''),
  'data.class_names': ('', ''),
  'data.class_tables': ('errors', 'numpy yaml'),
  'data.doctor': ('command data display errors pictures', 'absl cv2 numpy'),
  'data.prepare': ('command data errors', 'absl'),
  'data.streets': ('data display errors', 'numpy tensorflow_datasets'),
  'data.rendering': ('data errors', 'cv2 numpy'),
}

# A training step must run on a machine that has no TensorFlow.
WITHOUT_TENSORFLOW = (
  *('data.frames', 'depth.formats', 'depth.inpainting', 'depth.matching'),
  'depth.self_supervised',
  *('checkpoint', 'cluster', 'command', 'comparison', 'counting'),
  *('data.aspect', 'data.class_tables'),
  *('data.labels', 'data.rendering', 'display'),
  *('errors', 'losses', 'methods', 'metrics', 'mixtures', 'models', 'ops'),
  *('optim', 'parallel', 'pictures', 'predict', 'rng', 'state', 'workdir'),
  *('convert', 'warm_start', 'weights'),
)


def _files(*folders):
  """Python files of the project, without what git ignores."""
  return sorted(p for f in folders for p in (ROOT / f).rglob('*.py'))


def _name(path):
  """'jaxuda.ops.depth' of jaxuda/ops/depth.py, 'jaxuda.ops' of its package."""
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _imports(path):
  """Yields the dotted name of every module (or name) that a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def _rule(name):
  """The row for a module of jaxuda, None for the package itself."""
  inner = name.removeprefix('jaxuda').lstrip('.')
  for prefix, rule in INNER_ROOMS.items():
    if inner == prefix or inner.startswith(prefix + '.'):
      return rule
  room = inner.partition('.')[0]
  assert not room or room in ROOMS, f'{room} has no row in ROOMS'
  return ROOMS.get(room, ('', ''))


@pytest.mark.parametrize('path', _files('jaxuda'), ids=_name)
def test_imports_only_what_its_room_may(path):
  name = _name(path)
  rooms, packages = (set(x.split()) for x in _rule(name))
  own = name.split('.')[1] if '.' in name else ''
  for target in _imports(path):
    top, *rest = target.split('.')
    if top == 'jaxuda' and rest:
      assert rest[0] == own or rest[0] in rooms, f'{name} imports {target}'
    elif top not in sys.stdlib_module_names:
      assert top in packages, f'{name} imports {target}'


@pytest.mark.parametrize(
  'path', sorted((PACKAGE / 'methods').glob('*.py')), ids=_name
)
def test_methods_do_not_import_methods(path):
  others = {t for t in _imports(path) if t.startswith('jaxuda.methods')}
  assert others <= {'jaxuda.methods.base'}


@pytest.mark.parametrize('path', _files('configs'), ids=_name)
def test_configs_import_only_ml_collections(path):
  tops = {target.partition('.')[0] for target in _imports(path)}
  assert tops <= {'ml_collections', 'configs'} | sys.stdlib_module_names


@pytest.mark.parametrize(
  'path', _files('jaxuda', 'scripts', 'tests'), ids=_name
)
def test_imports_modules_not_names(path):
  for target in _imports(path):
    if target.startswith('jaxuda.'):
      assert importlib.util.find_spec(target), f'{target} is not a module'


def test_only_parallel_mentions_pmap():
  files = [p for p in _files('jaxuda') if re.search(r'\bpmap\b', p.read_text())]
  assert [_name(p) for p in files] == ['jaxuda.parallel']


def test_only_checkpoint_imports_orbax():
  files = [
    _name(p)
    for p in _files('jaxuda', 'scripts')
    if any(t.split('.')[0] == 'orbax' for t in _imports(p))
  ]
  assert files == ['jaxuda.checkpoint']


def test_tensorflow_stays_out():
  names = [
    name
    for path in _files('jaxuda')
    for name in [_name(path)]
    if name.removeprefix('jaxuda.').startswith(WITHOUT_TENSORFLOW)
  ]
  for room in WITHOUT_TENSORFLOW:
    assert f'jaxuda.{room}' in names
  code = f"""
import importlib, sys
for name in {names}:
  importlib.import_module(name)
  loaded = [m for m in sys.modules if m.split('.')[0] == 'tensorflow']
  assert not loaded, f'{{name}} loads {{loaded[0]}}'
"""
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
  'path', _files('jaxuda', 'configs', 'scripts', 'tests'), ids=_name
)
def test_short_files(path):
  assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
  'path', _files('jaxuda', 'configs', 'scripts', 'tests'), ids=_name
)
def test_short_functions(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.FunctionDef):
      # The docstring does not count.
      first = node.body[1:] if ast.get_docstring(node) else node.body
      lines = node.end_lineno - first[0].lineno + 1 if first else 0
      assert lines < 60, f'{node.name} has {lines} lines'


def test_no_drawers():
  drawers = re.compile(r'utils?|helpers?|misc|common_lib')
  for path in _files('jaxuda', 'scripts', 'tests'):
    for part in path.relative_to(ROOT).with_suffix('').parts:
      assert not drawers.fullmatch(part), path
      assert not part.endswith(('_utils', '_util', '_helpers')), path


@pytest.mark.parametrize(
  'command', [('check',), ('format', '--check')], ids=' '.join
)
def test_ruff(command):
  done = subprocess.run(
    [sys.executable, '-m', 'ruff', *command, '--quiet', '.'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
