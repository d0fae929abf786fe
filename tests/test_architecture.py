"""The rules of the architecture, checked on the source text."""

import ast
import functools
import graphlib
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'jaxuda'

# room: (rooms of jaxuda, other packages) that it imports, exactly these. A room
# is a folder, or a module directly under jaxuda.
ROOMS = {
  '__main__': ('', ''),
  'convert': ('errors run ui weights', 'absl'),
  'data': (
    'data.classes data.files data.pixels data.records data.store errors ui',
    'numpy tensorflow',
  ),
  'data.classes': ('errors', 'numpy yaml'),
  'data.datasets': (
    'data.classes data.files data.pixels data.store errors streets ui',
    'absl h5py numpy scipy tensorflow_datasets',
  ),
  'data.doctor': (
    'data.classes data.datasets data.files data.pixels data.store errors ui',
    'absl cv2 numpy',
  ),
  'data.files': (
    'data.classes data.pixels errors ui',
    'PIL cv2 numpy tensorflow',
  ),
  'data.pixels': ('data.classes errors', 'PIL cv2 numpy tensorflow'),
  'data.prepare': ('data.datasets data.pixels data.store errors ui', 'absl'),
  'data.records': (
    'data.classes data.datasets data.files data.pixels data.store errors',
    'numpy tensorflow tensorflow_datasets',
  ),
  'data.store': (
    'data.classes data.files data.pixels errors ui',
    'cv2 numpy tensorflow_datasets',
  ),
  'depdis': ('', ''),
  'depdis.fit': (
    'data data.classes data.pixels data.records errors methods.parts'
    ' models ops run ui',
    'absl cv2 ml_collections numpy scipy sklearn',
  ),
  'depdis.pseudo': (
    'data data.classes data.files data.store depdis.fit errors evaluate'
    ' methods.parts ops run step ui',
    'absl cc3d jax numpy',
  ),
  'depdis.run': (
    'data.files depdis.pseudo errors evaluate run train ui',
    'absl ml_collections',
  ),
  'depdis.tsne': (
    'data data.classes data.pixels errors models ops run ui',
    'absl cv2 jax numpy sklearn',
  ),
  'depth': ('errors run ui', 'cv2 numpy scipy'),
  'depth.foundation': (
    'data.pixels data.records depth errors models models.backbones ops ui'
    ' weights',
    'absl cv2 flax jax numpy',
  ),
  'depth.mono': (
    'data data.files data.pixels data.records depth errors evaluate losses'
    ' models ops run step train ui',
    'absl cv2 flax jax ml_collections numpy optax',
  ),
  'depth.stereo': (
    'data.files data.pixels data.records depth errors run ui',
    'absl cv2 numpy',
  ),
  'depth.transfer': (
    'data.pixels data.records depth errors methods ops run step train ui',
    'PIL absl jax ml_collections numpy',
  ),
  'errors': ('', ''),
  'evaluate': (
    'data data.classes data.pixels data.records data.store errors models ops'
    ' run step ui weights',
    'absl jax ml_collections numpy scipy',
  ),
  'export': (
    'data.classes errors run step ui weights',
    'absl jax numpy tensorflow',
  ),
  'export.runners': ('', 'PIL jax numpy picture tensorflow'),
  'losses': ('errors ops', 'jax'),
  'main': ('', ''),
  'methods': ('errors losses methods.parts models ops step', 'jax'),
  'methods.parts': ('errors losses models ops step', 'flax jax numpy optax'),
  'models': ('errors models.backbones ops step', 'flax jax numpy'),
  'models.backbones': ('errors models ops', 'flax jax'),
  'notebook': (
    'data data.classes errors methods predict run ui',
    'jax ml_collections numpy packaging pip',
  ),
  'ops': ('errors', 'jax numpy'),
  'predict': (
    'data.classes data.pixels data.store errors evaluate methods ops'
    ' run step ui weights',
    'PIL absl jax ml_collections numpy',
  ),
  'report': (
    'data data.classes data.files data.pixels depdis.tsne errors evaluate'
    ' run ui',
    'PIL absl jax jinja2 matplotlib numpy',
  ),
  'reproduce': (
    'errors evaluate methods run ui weights',
    'absl ml_collections rich',
  ),
  'run': (
    'data.classes errors methods step ui',
    'absl flax jax ml_collections numpy orbax',
  ),
  'step': ('errors', 'flax jax numpy optax'),
  'streets': ('errors streets.domains', 'cv2 numpy'),
  'streets.domains': ('', 'numpy'),
  'train': (
    'data data.classes errors evaluate methods methods.parts notebook run step'
    ' ui weights',
    'absl clu jax ml_collections numpy',
  ),
  'translate': ('data data.classes depth errors run ui', 'absl jax numpy'),
  'ui': ('errors methods', 'PIL absl cv2 ml_collections numpy rich tensorflow'),
  'watch': ('errors evaluate report run ui', 'absl'),
  'weights': (
    'errors methods models models.backbones run step ui',
    'flax jax ml_collections ml_dtypes numpy safetensors',
  ),
}

# A training step must run on a machine that has no TensorFlow.
WITHOUT_TENSORFLOW = (
  *('data.classes', 'data.files.frames', 'data.pixels.aspect', 'streets'),
  *('depth.formats', 'depth.foundation', 'depth.maps'),
  *('depth.stereo.inpainting', 'depth.stereo.matching'),
  *('depth.mono.self_supervised', 'evaluate.counting', 'evaluate.tables'),
  *('errors', 'losses', 'methods', 'models', 'ops', 'step', 'ui'),
  *('evaluate.metrics', 'run.checkpoint', 'run.cluster', 'run.workdir'),
  *('convert', 'predict', 'train.warm_start', 'watch', 'weights'),
)


def _files(*folders):
  """Returns the Python files of the project, without those git ignores."""
  return sorted(p for f in folders for p in (ROOT / f).rglob('*.py'))


def _name(path):
  """Returns 'jaxuda.ops.depth' for jaxuda/ops/depth.py."""
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


@functools.cache
def _imports(path):
  """Returns the dotted names of all modules (or names) that a file imports."""
  found = []
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      found += [f'{node.module}.{alias.name}' for alias in node.names]
  return found


def _room(path):
  """Returns 'data.files' for jaxuda/data/files/tree.py."""
  parts = path.relative_to(PACKAGE).with_suffix('').parts
  return '.'.join(parts[:-1]) or parts[0]


def _target_room(target):
  """Returns the room of an imported module, or of a room itself."""
  parts = target.split('.')
  if ROOT.joinpath(*parts).is_dir():
    return '.'.join(parts[1:])
  return '.'.join(parts[1:-1]) or parts[1]


def _real_imports():
  """Maps a room to (rooms, packages) that its files import."""
  found = {}
  for path in _files('jaxuda'):
    room = _room(path)
    if room == '__init__':
      continue
    rooms, packages = found.setdefault(room, (set(), set()))
    for target in _imports(path):
      top = target.partition('.')[0]
      if top == 'jaxuda':
        rooms.add(_target_room(target))
      elif top not in sys.stdlib_module_names:
        packages.add(top)
    rooms.discard(room)
  return found


REAL = _real_imports()


@pytest.mark.parametrize('room', sorted({*ROOMS, *REAL}))
def test_imports_are_those_of_the_table(room):
  assert room in REAL, f'{room} is no room any more'
  assert room in ROOMS, f'{room} has no row in ROOMS'
  stated = tuple(set(names.split()) for names in ROOMS[room])
  assert REAL[room] == stated


def test_rooms_stand_on_floors():
  """There is no cycle among the rooms directly under jaxuda."""
  below = {}
  for room, (rooms, _) in REAL.items():
    top = room.partition('.')[0]
    others = {other.partition('.')[0] for other in rooms}
    below.setdefault(top, set()).update(others - {top})
  graphlib.TopologicalSorter(below).prepare()


def test_few_modules_lie_flat():
  assert len(list(PACKAGE.glob('*.py'))) <= 4


def test_no_room_is_crowded():
  for top in ('jaxuda', 'configs', 'scripts', 'tests'):
    for folder in {path.parent for path in _files(top)}:
      assert len(list(folder.glob('*.py'))) <= 16, folder


def test_flags_are_defined_by_commands():
  defining = {
    _name(path)
    for path in _files('jaxuda')
    if re.search(r'\bDEFINE_\w+', path.read_text())
    and path.name != '__main__.py'
  }
  assert defining == {'jaxuda.ui.command'}


@pytest.mark.parametrize(
  'path', sorted((PACKAGE / 'methods').glob('*.py')), ids=_name
)
def test_methods_do_not_import_methods(path):
  others = {t for t in _imports(path) if t.startswith('jaxuda.methods')}
  parts = {t for t in others if t.startswith('jaxuda.methods.parts.')}
  assert others - parts <= {'jaxuda.methods.base'}


@pytest.mark.parametrize('path', _files('jaxuda', 'scripts'), ids=_name)
def test_methods_are_not_probed(path):
  """Optional parts of a method are declared in `methods.base`."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
      if node.func.id in ('hasattr', 'getattr'):
        probed = ast.unparse(node.args[0])
        assert 'method' not in probed.lower(), ast.unparse(node)


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
  assert [_name(p) for p in files] == ['jaxuda.step.parallel']


def test_only_checkpoint_imports_orbax():
  files = [
    _name(p)
    for p in _files('jaxuda', 'scripts')
    if any(t.split('.')[0] == 'orbax' for t in _imports(p))
  ]
  assert files == ['jaxuda.run.checkpoint']


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
