"""What the README and docs/ show is true."""

import functools
import importlib.util
import itertools
import pathlib
import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import __main__ as verbs
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.ui import command

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
PAGES = {
  x.relative_to(ROOT).as_posix(): x.read_text()
  for x in (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))
}
ALL = '\n'.join(PAGES.values())
PYTHON = re.findall(
  r'^```python\n(.*?)^```$', PAGES['docs/extend.md'], re.DOTALL | re.MULTILINE
)


def _load(tmp_path, text, name):
  path = tmp_path / f'{name}.py'
  path.write_text(text)
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_method_fits(tmp_path):
  """Traced, not compiled: every name, shape and dtype in it is checked."""
  config = _load(tmp_path, PYTHON[1], 'readme_config').get_config()
  method = _load(tmp_path, PYTHON[0], 'readme_method').Method(
    num_classes=3,
    total_steps=10,
    network=deeplab.Options(backbone='resnet_small', rates=(1, 2)),
    **config.method,
  )
  arrays = {
    'image': np.zeros((2, 32, 48, 3), np.uint8),
    'label': np.zeros((2, 32, 48), np.int32),
  }
  batch = {domain: arrays for domain in method.needs}
  key = jax.random.key(0)
  state = jax.eval_shape(method.init, key, batch)
  step = parallel.pmap_step(method.train_step)
  new_state, losses = jax.eval_shape(step, state, parallel.shard(batch), key)
  assert jax.tree.map(jnp.shape, new_state) == jax.tree.map(jnp.shape, state)
  assert {name: x.shape for name, x in losses.items()} == {
    'loss_seg': (),
    'loss_target': (),
  }
  out = jax.eval_shape(
    functools.partial(method.predict, size=(20, 30)), state, arrays['image']
  )
  assert out['logits'].shape == (2, 20, 30, 3)


@pytest.mark.parametrize(
  'config', sorted(set(re.findall(r'configs/\w+\.py(?::[\w.,=]+)?', ALL)))
)
def test_configs_exist(config):
  path = config.partition(':')[0]
  if path == 'configs/pseudo_label.py':
    return
  # The method, except combinations of CorDA or DACS with parts of others.
  recipes = dict.fromkeys(('daformer', 'hrda', 'mic'), 'dacs')
  stem = pathlib.Path(path).stem
  name = {'depth_mic': 'corda', **recipes}.get(stem, stem)
  assert command.read_config(config).name == name


def test_files_exist():
  named = re.findall(r'`((?:jaxuda|scripts|tests|configs|docs)/[\w/.]*)`', ALL)
  missing = [name for name in named if not (ROOT / name).exists()]
  assert len(named) > 10
  assert missing == [
    'jaxuda/methods/pseudo_label.py',
    'configs/pseudo_label.py',
  ]


def test_modules_of_the_commands_exist():
  fenced = re.findall(r'^```(\w*)\n(.*?)^```$', ALL, re.DOTALL | re.MULTILINE)
  blocks = [text for language, text in fenced if not language]
  modules = set()
  for block in blocks:
    words = shlex.split(block.replace('\\\n', ' '), comments=True)
    modules.update(b for a, b in itertools.pairwise(words) if a == '-m')
  # These were in the README before the single command, and still work.
  modules |= {
    *('jaxuda.main', 'jaxuda.evaluate', 'jaxuda.predict', 'jaxuda.report'),
    *('jaxuda.reproduce', 'jaxuda.convert', 'jaxuda.export'),
    *('jaxuda.translate', 'jaxuda.data.doctor', 'jaxuda.data.prepare'),
    *('jaxuda.depdis.run', 'jaxuda.depdis.fit', 'jaxuda.depdis.pseudo'),
    *('jaxuda.depdis.tsne', 'jaxuda.depth.stereo', 'jaxuda.depth.mono'),
    'jaxuda.depth.transfer',
  }
  for name in modules:
    spec = importlib.util.find_spec(name)
    assert spec, name
    if spec.submodule_search_locations:
      assert importlib.util.find_spec(f'{name}.__main__'), name


def test_verbs_are_verbs():
  fenced = re.findall(r'^```\n(.*?)^```$', ALL, re.DOTALL | re.MULTILINE)
  lines = [x for block in fenced for x in block.splitlines()]
  commands = [x.split()[1:3] for x in lines if x.startswith('jaxuda ')]
  assert ['train', '--config=dada:pair=streets'] in commands
  for words in commands:
    assert {words[0], ' '.join(words)} & set(verbs._VERBS)


@pytest.mark.parametrize('page', ['README.md', 'docs/training.md'])
def test_runs_are_trained_before_they_are_used(page):
  fenced = re.findall(r'^```\n(.*?)^```$', PAGES[page], re.DOTALL | re.M)
  (block,) = (x for x in fenced if x.startswith('jaxuda train'))
  trained = set()
  for line in block.splitlines():
    if line.startswith('jaxuda train'):
      trained.update(re.findall(r'--workdir=(\S+)', line))
    assert set(re.findall(r'\bruns/\w+', line)) <= trained | {'runs/table'}, (
      line
    )
  assert trained == {'runs/source_only', 'runs/dada'}


def test_links_lead_somewhere():
  links = [
    (page, link)
    for page, text in PAGES.items()
    for link in re.findall(r'\]\(((?!http)[^)#]+)\)', text)
  ]
  assert ('README.md', 'docs/data.md') in links
  for page, link in links:
    assert (ROOT / page).parent.joinpath(link).exists(), (page, link)


def find_anchors(text):
  """Yields the anchors that GitHub gives to the headings of a page."""
  text = re.sub(r'^```.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE)
  for title in re.findall(r'^#+ (.+)$', text, re.MULTILINE):
    yield re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')


def test_anchors_are_headings():
  links = [
    ((ROOT / page).parent.joinpath(link or ROOT / page).resolve(), anchor)
    for page, text in PAGES.items()
    for link, anchor in re.findall(r'\]\(((?!http)[^)#]*)#([^)]+)\)', text)
  ]
  assert (ROOT / 'docs' / 'scores.md', '4000-steps') in links
  for path, anchor in links:
    assert anchor in find_anchors(path.read_text()), (path.name, anchor)


def test_the_readme_is_short():
  assert len(README.splitlines()) <= 200


def test_tests_in_a_browser_are_counted():
  tests = (x.read_text() for x in (ROOT / 'tests').rglob('test_*.py'))
  skipped = r'^@pytest\.mark\.skipif\(not browser\.'
  assert len(re.findall(skipped, '\n'.join(tests), re.MULTILINE)) == 2
  assert 'Two tests open a page in headless' in README


def test_pairs_are_there():
  spec = importlib.util.spec_from_file_location(
    'pairs', ROOT / 'configs' / 'parts' / 'pairs.py'
  )
  pairs = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(pairs)
  table = PAGES['docs/data.md'].split('\n## Pairs\n')[1].split('\n## ')[0]
  for pair in pairs.PAIRS:
    assert f'`{pair}`' in table
