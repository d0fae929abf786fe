"""Every notebook runs from top to bottom and shows what it promises.

They run with the smallest budget, in a folder and a kernel of their own, which
use the installed wheel of jaxuda and not the repository.
"""

import base64
import contextlib
import functools
import importlib.util
import io
import json
import pathlib
import re
import subprocess
import sys
import types

import nbclient
import nbformat
import numpy as np
from PIL import Image
import pytest

from jaxuda import methods as methods_lib
from jaxuda.data.classes import labels
from jaxuda.notebook import budget
from jaxuda.notebook import runtime
from jaxuda.run import workdir
from jaxuda.train import segmentation
from jaxuda.ui import command
from tests import installed

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / 'colabs').glob('*.ipynb'))
KERNEL = {'display_name': 'installed', 'language': 'python'}
# Pictures in the smallest budget, and how panels and legends lay them out.
HEIGHT, WIDTH = 32, 64
HEADING, MARGIN = 18, 4
LEGEND_CELL, LEGEND_LINE = 118, 16


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_outputs(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      assert cell.outputs == []
      assert cell.execution_count is None
  # One place says where the project is, in all of them.
  assert find_set_up(path) == find_set_up(NOTEBOOKS[0])


def find_set_up(path):
  """Returns the cell that installs."""
  cells = nbformat.read(path, as_version=4).cells
  (text,) = (x.source for x in cells if "\nPACKAGE = ''\n" in x.source)
  return text


@pytest.mark.parametrize(
  ('package', 'fetched'),
  [
    ('jaxuda-0.1.0-py3-none-any.whl',) * 2,
    ('https://a/jaxuda.git', 'git+https://a/jaxuda.git'),
  ],
)
def test_set_up_where_jaxuda_is_missing(monkeypatch, package, fetched):
  calls, found = [], None
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: found)
  for name in ('complete', 'describe'):
    monkeypatch.setattr(runtime, name, functools.partial(calls.append, name))
  monkeypatch.setattr(subprocess, 'run', lambda x, check: calls.append(x))
  text = find_set_up(NOTEBOOKS[0])
  with pytest.raises(ValueError, match='set PACKAGE'):
    exec(text, {})
  exec(text.replace("PACKAGE = ''", f'PACKAGE = {package!r}'), {})
  pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']
  assert calls == [[*pip, fetched], 'complete', 'describe']
  # An existing installation is kept.
  calls.clear()
  found = types.SimpleNamespace(origin='site/jaxuda/__init__.py')
  exec(text, {})
  assert calls == ['describe']
  # A clone, which is a folder of that name, is none.
  found.origin = None
  with pytest.raises(ValueError, match='set PACKAGE'):
    exec(text, {})


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize('scored', [False, True])
def test_training_that_was_interrupted_ends_its_cell(
  monkeypatch, tmp_path, path, scored
):
  """Also after the last step: the next cells need the scores."""
  cells = nbformat.read(path, as_version=4).cells
  (text,) = (x.source for x in cells if 'segmentation.train(' in x.source)
  config = command.read_config('dada:pair=streets')
  names = {
    x: tmp_path / x for x in ('RUN', 'RUNS', 'SCENE', 'SOURCE', 'TARGET')
  }
  names |= {'STEPS': 1, 'config': config, 'budget': budget, 'command': command}
  trained = []

  def train(config, folder):
    trained.append(folder)
    if scored:
      done = {'last': {'checkpoint_step': config.stop_step}}
      workdir.write_json(folder / 'scores.json', done)
    return types.SimpleNamespace(step=config.stop_step)

  monkeypatch.setattr(segmentation, 'train', train)
  names |= {'segmentation': segmentation, 'workdir': workdir}
  stopped = contextlib.nullcontext()
  if not scored:
    stopped = pytest.raises(KeyboardInterrupt, match='run this cell again')
  with stopped:
    exec(text, names)
  assert len(trained) == (7 if scored and 'NAMES' in names else 1)


def execute(name, folder, monkeypatch):
  """Runs a notebook in a folder; returns its code cells."""
  made = installed.make()
  kernel = folder / 'jupyter' / 'kernels' / 'installed' / 'kernel.json'
  command = [str(made.folder / 'bin' / 'python'), '-m', 'ipykernel_launcher']
  kernel.parent.mkdir(parents=True)
  kernel.write_text(
    json.dumps({'argv': [*command, '-f', '{connection_file}'], **KERNEL})
  )
  monkeypatch.setenv('JUPYTER_PATH', str(folder / 'jupyter'))
  notebook = nbformat.read(ROOT / 'colabs' / f'{name}.ipynb', as_version=4)
  asks = nbformat.v4.new_code_cell('import jaxuda\njaxuda.__file__')
  notebook.cells.append(asks)
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name='installed',
    resources={'metadata': {'path': str(folder)}},
  )
  changes = {
    budget.VARIABLE: 'test',
    'TFDS_DATA_DIR': str(folder / 'data'),
    'IPYTHONDIR': str(folder / 'ipython'),
  }
  client.execute(env={**made.variables, **changes})
  *cells, asks = (x for x in notebook.cells if x.cell_type == 'code')
  assert str(made.site) in asks.outputs[0].data['text/plain']
  # It reports what it runs on, and installs nothing.
  said = cells[0].outputs[0].text
  assert re.fullmatch(r'Python \S+, jax \S+ on the CPU, \d+ cores\n', said)
  return cells


def find_pictures(cells):
  """Returns every picture that was shown, uint8 [H, W, 3]."""
  encoded = [
    output.data['image/png']
    for cell in cells
    for output in cell.outputs
    if 'image/png' in output.get('data', {})
  ]
  opened = [Image.open(io.BytesIO(base64.b64decode(x))) for x in encoded]
  return [np.asarray(picture.convert('RGB')) for picture in opened]


def find_tables(cells):
  """Returns every table shown: first cell of a row -> the others."""
  tables = []
  for cell in cells:
    for output in cell.outputs:
      text = output.get('data', {}).get('text/plain', '')
      if '┃' in text:
        plain = re.sub(r'\x1b\[\d*m', '', text).replace('┃', '│')
        rows = [x.split('│')[1:-1] for x in plain.splitlines() if '│' in x]
        tables.append({a.strip(): [x.strip() for x in b] for a, *b in rows})
  return tables


def read_text(cells):
  """Returns the printed text."""
  return ''.join(o.get('text', '') for cell in cells for o in cell.outputs)


def read_figures(folder):
  scores = json.loads((folder / 'scores.json').read_text())
  return scores['last']['figures']


def check_scores(table, column, figures, classes):
  """Checks for a row per class, and a mean equal to the rows' and file's."""
  names = labels.get_class_set(classes).names
  mean = f'mIoU{len(names)}'
  assert [*table][: len(names) + 2] == ['class', *names, mean]
  shown = [table[name][column] for name in names]
  known = [float(x) for x in shown if x != '-']
  assert len(known) >= 3
  value = figures[mean]['value']
  assert table[mean][column] == f'{value:.2f}'
  assert value == pytest.approx(np.mean(known), abs=0.011)
  for name, x in zip(names, shown, strict=True):
    of_file = figures['IoU']['value'][name]
    assert x == ('-' if of_file is None else f'{of_file:.2f}')


def cut_panel(picture, rows, columns):
  """Returns a panel's cells [rows, columns, H, W, 3], and the rest below."""
  down, across = HEIGHT + MARGIN, WIDTH + MARGIN
  assert picture.shape[0] >= HEADING + rows * down
  assert picture.shape[1] == columns * across - MARGIN
  cells = [
    [
      picture[
        HEADING + i * down : HEADING + i * down + HEIGHT,
        j * across : j * across + WIDTH,
      ]
      for j in range(columns)
    ]
    for i in range(rows)
  ]
  return np.array(cells), picture[HEADING + rows * down :]


def check_legend(strip, classes):
  """Checks that every class has its patch of colour, with text next to it."""
  colors = labels.get_class_set(classes).colors
  across = strip.shape[1] // LEGEND_CELL
  rows = -(-len(colors) // across)
  assert strip.shape[0] == rows * LEGEND_LINE + MARGIN
  for i, color in enumerate(colors):
    y = MARGIN + i // across * LEGEND_LINE
    x = MARGIN + i % across * LEGEND_CELL
    np.testing.assert_array_equal(strip[y + 5, x + 5], color)
    assert (strip[y : y + 12, x + 16 : x + 40] < 128).any()


def check_labels(cells, classes):
  """Checks that there are only colours of classes, and black."""
  colors = {(0, 0, 0), *map(tuple, labels.get_class_set(classes).colors)}
  found = {tuple(x) for x in np.unique(cells.reshape(-1, 3), axis=0)}
  assert found <= colors
  return len(found)


def test_getting_started(tmp_path, monkeypatch):
  cells = execute('getting_started', tmp_path, monkeypatch)
  run = tmp_path / 'runs' / 'dada'
  (table,) = find_tables(cells)
  check_scores(table, 0, read_figures(run), 'cityscapes19')
  domains, predictions = find_pictures(cells)
  # Source with labels and depth over the target, three of each; the legend.
  source, rest = cut_panel(domains, 3, 3)
  assert check_labels(source[:, 1], 'cityscapes19') > 5
  target, _ = cut_panel(rest[:, :WIDTH], 3, 1)
  assert min(x.std() for x in (*source[:, 0], *target[:, 0])) > 10
  check_legend(rest[HEADING + 3 * (HEIGHT + MARGIN) :], 'cityscapes19')
  # image, truth, prediction, depth, true depth, self-information
  panel, legend = cut_panel(predictions, 3, 6)
  assert check_labels(panel[:, 1], 'cityscapes19') > 5
  check_labels(panel[:, 2], 'cityscapes19')
  # After two steps predictions may be the same everywhere.
  assert set(find_flat(panel)) <= {2, 3, 5}
  check_legend(legend, 'cityscapes19')
  # What is shown is what the run wrote.
  with Image.open(run / 'pictures' / 'target_0000002.png') as file:
    np.testing.assert_array_equal(file, predictions)


# For each method: how many maps of a training batch it shows side by side, and
# which of them are blank after two steps.
TRAINING = {
  'corda': (8, ()),
  'dacs': (3, ()),
  # Only one class is predicted, without density; the branch starts at 0.
  'depdis': (9, (3, 4, 5, 6, 7, 8)),
  'gio_ada': (7, ()),
}
# Methods whose networks predict no depth.
WITHOUT_DEPTH = ('source_only', 'advent', 'dacs')


def find_flat(cells):
  """Returns columns of cells [rows, columns, H, W, 3] of a single colour."""
  spread = cells.std(axis=(2, 3)).max(axis=(0, 2))
  return tuple(np.flatnonzero(spread == 0).tolist())


def test_compare_methods(tmp_path, monkeypatch):
  cells = execute('compare_methods', tmp_path, monkeypatch)
  (table,) = find_tables(cells)
  methods = table['class']
  assert {x.name for x in (tmp_path / 'runs').iterdir()} == set(methods)
  # All that segment, except self-training, a stage of Depth Distribution.
  assert set(methods) == set(methods_lib.names()) - {
    'cyclegan',
    'self_training',
  }
  for column, name in enumerate(methods):
    figures = read_figures(tmp_path / 'runs' / name)
    check_scores(table, column, figures, 'cityscapes19')
  comparison, *training = find_pictures(cells)
  panel, legend = cut_panel(comparison, 3, 2 + len(methods))
  check_legend(legend, 'cityscapes19')
  for column, name in enumerate(methods, 2):
    pictures = tmp_path / 'runs' / name / 'pictures'
    # The training drew the same pictures of the state that it saved.
    with Image.open(pictures / 'target_0000002.png') as file:
      drawn = np.asarray(file)
    # With depth there is one more column, with density another.
    columns = 7 if name == 'depdis' else 5 if name in WITHOUT_DEPTH else 6
    drawn, _ = cut_panel(drawn, 3, columns)
    np.testing.assert_array_equal(panel[:, :2], drawn[:, :2])
    same = (panel[:, column] == drawn[:, 2]).all(-1)
    assert same.mean() > 0.999, name  # Except ties in another program.
  maps = {}
  for (name, (columns, flat)), picture in zip(
    TRAINING.items(), training, strict=True
  ):
    maps[name], _ = cut_panel(picture, 2, columns)
    assert set(find_flat(maps[name])) <= set(flat), name
  # The difficulty changes the weight, the transform network the image.
  corda, gio_ada = maps['corda'], maps['gio_ada']
  assert (corda[:, 7] != corda[:, 6]).any(-1).mean() > 0.01
  assert (gio_ada[:, 2] != gio_ada[:, 0]).any(-1).mean() > 0.5


def test_your_own_data(tmp_path, monkeypatch):
  cells = execute('your_own_data', tmp_path, monkeypatch)
  assert 'no problems' in read_text(cells)
  assert 'pictures that could not be read: 0' in read_text(cells)
  files, counted, own_ids, depth, table = find_tables(cells)
  assert files['train'][:4] == ['4', '-', '4', '4']
  assert depth['train'][0] == '4'
  # The doctor's shares match the files.
  own = tmp_path / 'own'
  paths = sorted((own / 'source' / 'labels' / 'train').glob('*.png'))
  ids = np.stack([np.asarray(Image.open(path)) for path in paths])
  assert ids.shape == (4, HEIGHT, WIDTH)
  ground = np.isin(ids, (0, 1, 9)).mean()
  assert counted['ground'][1] == f'{ground:.4%}'
  for number in np.unique(ids):
    assert own_ids[str(number)][1] == f'{(ids == number).mean():.4%}'
  classes = str(own / 'scene.yaml')
  check_scores(table, 0, read_figures(tmp_path / 'runs' / 'own'), classes)
  image, sheet, predictions, last = find_pictures(cells)
  assert image.shape == (HEIGHT, WIDTH, 3)
  assert sheet.shape[1] == 3 * 320
  check_legend(cut_panel(predictions, 3, 5)[1], classes)
  panel, legend = cut_panel(last, 3, 3)
  check_legend(legend, classes)
  # There is a prediction for every image, at its size, as in the panel.
  colors = labels.get_class_set(classes).colors
  names = sorted(
    x.name for x in (own / 'target' / 'images' / 'val').glob('*.png')
  )
  assert len(names) == 3
  for folder in ('ids', 'colors'):
    written = (tmp_path / 'predictions' / folder).glob('*.png')
    assert sorted(x.name for x in written) == names
  by_image = {}
  for name in names:
    with Image.open(own / 'target' / 'images' / 'val' / name) as file:
      seen = np.asarray(file)
    with Image.open(tmp_path / 'predictions' / 'ids' / name) as file:
      by_image[seen.tobytes()] = np.asarray(file)
  assert len(by_image) == 3
  # Prepared pictures are stored in another order.
  for row in panel:
    np.testing.assert_array_equal(
      row[2], colors[by_image.pop(np.ascontiguousarray(row[0]).tobytes())]
    )
