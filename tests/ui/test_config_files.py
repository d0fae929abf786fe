"""Where configs are found, what they import, and which fields they omit."""

import sys
import textwrap

import pytest

from jaxuda import errors
from jaxuda.ui import config_files


def _write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(textwrap.dedent(text))
  return path


OWN = """
  from configs import common
  from configs import beside

  def get_config(arguments='lambda=1'):
    config = common.base('dada', 'streets')
    config.method.lambda_adv = beside.LAMBDA
    config.initial = arguments
    return config
"""


@pytest.mark.parametrize('name', ['dada', 'dada.py', 'configs/dada.py'])
def test_configs_of_the_project_have_names(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = config_files.find(name)
  assert path.is_file()
  assert path.parts[-2:] == ('configs', 'dada.py')
  # The user's own file takes precedence, but none is named 'dada'.
  own = _write(tmp_path / name, '')
  found = config_files.find(name)
  assert found == (path if name == 'dada' else own.relative_to(tmp_path))


def test_a_folder_stands_for_its_init_file(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('tables', 'tables.py', 'configs/tables.py'):
    found = config_files.find(name)
    assert found.parts[-3:] == ('configs', 'tables', '__init__.py')
  assert 'dada/ablation' in config_files.load(found).TABLES
  own = _write(tmp_path / 'own' / '__init__.py', '')
  assert config_files.find('own.py') == own.relative_to(tmp_path)
  with pytest.raises(errors.UserError, match='no config own; expected'):
    config_files.find('own')


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('dda', 'no config dda; expected FILE.py, or one of adve'),
    ('x/dada.py', 'no config x/dada.py; expected FILE.py, or one of adve'),
    ('dada.yaml', 'no config dada.yaml; expected FILE.py, or one of adve'),
    ('own/b.py', 'no config own/b.py; expected one of own/a.py'),
    ('common', 'common.py has no get_config'),
    ('own/a.py', 'get_config of own/a.py returns None; expected a ConfigDict'),
  ],
)
def test_mistakes_are_named(name, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _write(tmp_path / 'own' / 'a.py', 'def get_config(): ...')
  with pytest.raises(errors.UserError) as caught:
    config_files.read(name)
  assert message in str(caught.value)


def test_a_config_of_ones_own_imports_the_projects(tmp_path, monkeypatch):
  # The package of another project, which Python would find first.
  _write(tmp_path / 'configs' / '__init__.py', 'raise AssertionError')
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  _write(tmp_path / 'own' / 'beside.py', 'LAMBDA = 3')
  path = _write(tmp_path / 'own' / 'mine.py', OWN)
  others = {x: y for x, y in sys.modules.items() if x.startswith('configs')}
  config = config_files.read(str(path))
  assert config.method.lambda_adv == 3
  assert isinstance(config.method.lambda_adv, float)
  assert config.initial == 'lambda=1'
  assert config_files.read(f'{path}:a:b').initial == 'a:b'
  now = {x: y for x, y in sys.modules.items() if x.startswith('configs')}
  assert now == others


def test_a_config_extends_the_one_of_its_name(tmp_path):
  text = """
    from configs import dada

    def get_config(arguments=''):
      config = dada.get_config(arguments)
      config.seed = 7
      config.network.barriers = False
      return config
  """
  config = config_files.read(
    f'{_write(tmp_path / "dada.py", text)}:ablation=S2'
  )
  assert (config.seed, config.method.align) == (7, 'seg')
  # A switch may be given as a boolean.
  assert (config.network.barriers, config.network.aspp_dot) == ('off', 'auto')


def test_what_a_config_does_not_name_is_the_methods_default():
  config = config_files.read('corda:pair=synthia2cityscapes')
  # Of the classes, of the method's own change of them, and of the config.
  assert config.optim.momentum == 0.9
  assert (config.network.active_rates, config.mixing.alpha) == (2, 0.999)
  assert config.network.rates == (6, 12, 18, 24)
  assert config.data.far_depth == 'mask'
  config = config_files.read('corda:pair=streets')
  assert (config.network.active_rates, config.mixing.alpha) == (2, 0.99)
  assert config.network.backbone == 'resnet_small'


def test_a_depth_tool_has_no_method():
  assert 'network' not in config_files.read('monodepth')


def test_a_value_of_another_type_is_an_error(tmp_path):
  text = OWN.replace('beside.LAMBDA', "'much'").replace(', beside', '')
  path = _write(tmp_path / 'mine.py', text)
  _write(tmp_path / 'beside.py', '')
  with pytest.raises(errors.UserError) as caught:
    config_files.read(str(path))
  assert (
    f"config.method of {path}: Could not override field 'lambda_adv'"
    in str(caught.value)
  )


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('config.total_stps = 3', 'line 7: Key "total_stps" does not exist'),
    ('config.data.source.sise = 3', 'line 7: Key "sise" does not exist'),
    ("config['seeed'] = 3", 'line 7: Key "seeed" does not exist'),
    ("config.seed = '3'", "line 7: Could not override field 'seed'"),
    ('config.data.sorce.size = 3', 'Did you mean "source"'),
    ('config.mixing.alpha = 0.9', 'config.mixing has alpha; expected no such'),
  ],
)
def test_misspelt_fields_of_ones_own_config_are_errors(line, message, tmp_path):
  text = OWN.replace('config.method.lambda_adv = beside.LAMBDA', line)
  _write(tmp_path / 'beside.py', '')
  path = _write(tmp_path / 'mine.py', text)
  with pytest.raises(errors.UserError) as caught:
    config_files.read(str(path))
  assert message in str(caught.value)
  assert 'Other fields' not in str(caught.value)


def test_mistakes_of_other_code_keep_their_traceback(tmp_path):
  path = _write(tmp_path / 'mine.py', "def get_config():\n  return {}['a']")
  with pytest.raises(KeyError):
    config_files.read(str(path))
