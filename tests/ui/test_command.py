"""Fields of a config on the command line."""

from absl import flags
import pytest

from jaxuda import errors
from jaxuda.ui import command


def test_every_field_can_be_set_whether_the_config_names_it_or_not():
  config = command.read_config(
    'dada:pair=streets',
    [
      '--config.network.remat=True',
      '--config.seed=7',
      '--config.optim.power=2',
      '--config.data.source.size=(8, 16)',
      '--config.data.source.manual_dir=here',
      '-config.name=dada',
    ],
  )
  assert config.network.remat is True
  assert (config.seed, config.optim.power) == (7, 2.0)
  assert isinstance(config.optim.power, float)
  assert config.data.source.size == (8, 16)
  assert config.data.source.manual_dir == 'here'
  with pytest.raises(AttributeError):
    config.sed = 1


def test_the_last_one_counts():
  config = command.read_config(
    'dada',
    [
      '--config.data.source.size=(1, 2)',
      '--config.seed=1',
      '--config.data.source.size',
      '(3, 4)',
      '--config.seed=2',
    ],
  )
  assert config.data.source.size == (3, 4)
  assert config.seed == 2


@pytest.mark.parametrize(
  ('flag', 'value'),
  [
    (['--config.data.source.flip'], True),
    (['--config.data.source.flip=true'], True),
    (['--config.data.source.flip', '--noconfig.data.source.flip'], False),
  ],
)
def test_switches(flag, value):
  assert command.read_config('dada', flag).data.source.flip is value


@pytest.mark.parametrize(
  ('override', 'message'),
  [
    ('--config.sed=3', 'unknown field config.sed; expected one of config.seed'),
    ('--config.optim.name.x=3', 'expected one of config.optim.name'),
    ('--config.seed=x', 'invalid literal for int'),
    ('--config.seed', 'invalid literal for int'),
    ('--config.data.source.size=(1, 2', 'Error while parsing string: (1, 2'),
    ('--seed=3', "'--seed=3'; expected --config.field=value"),
  ],
)
def test_mistakes_are_named(override, message):
  with pytest.raises(errors.UserError) as caught:
    command.read_config('dada', [override])
  assert message in str(caught.value)


@pytest.fixture(name='values')
def _values(monkeypatch):
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  flags.DEFINE_string('config', None, '', flag_values=values)
  flags.DEFINE_integer('jobs', 1, '', flag_values=values)
  return values


def test_overrides_stand_anywhere(values, tmp_path):
  (tmp_path / 'flags').write_text('--config.seed=5\n')
  argv = ['x', '--config.optim.power', '3', 'RUN', '--config=dacs']
  argv += ['--jobs=2', '--config.optim.hold=0.5', '--config', 'dada']
  argv += [f'--flagfile={tmp_path}/flags']
  assert command.parse_flags(argv, argument='RUN') == ['x', 'RUN']
  config = values.config
  assert (config.name, config.seed, values.jobs) == ('dada', 5, 2)
  assert (config.optim.power, config.optim.hold) == (3, 0.5)


def test_fields_without_a_config(values, capsys):
  with pytest.raises(SystemExit):
    command.parse_flags(['x', '--config.seed=5'])
  assert 'config.seed' in capsys.readouterr().err
  command.parse_flags(['x', '--jobs=3'])
  assert (values.config, values.jobs) == (None, 3)


def test_a_config_without_one_on_the_command_line(values):
  values.set_default('config', 'dada:ablation=S2')
  command.parse_flags(['x', '--config.seed=5'])
  assert (values.config.method.align, values.config.seed) == ('seg', 5)


def test_a_tilde_is_the_home_folder_wherever_it_stands(values, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  flags.DEFINE_string('workdir', None, '', flag_values=values)
  flags.DEFINE_list('workdirs', None, '', flag_values=values)
  argv = ['x', '--config=depdis', '--workdir=~/runs/a', '--workdirs=~/b,c~/d']
  argv += ['--config.initial=~/w.pth', '--config.data.data_dir=~/tfds']
  argv += ['--config.self_training.adversarial', '~/M2']
  command.parse_flags(argv)
  assert values.workdir == '/home/me/runs/a'
  assert values.workdirs == ['/home/me/b', 'c~/d']
  config = values.config
  assert config.initial == '/home/me/w.pth'
  assert config.self_training.adversarial == '/home/me/M2'
  # As configs of older runs have it; it is expanded where it is read.
  assert config.data.data_dir == '~/tfds'


def test_a_config_in_the_home_folder(values, monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'mine.py').write_text(
    'from configs import dada\n\nget_config = dada.get_config\n'
  )
  command.parse_flags(['x', '--config=~/mine.py:ablation=S2'])
  assert values.config.method.align == 'seg'


@pytest.mark.parametrize(
  'name', ['workdir', 'out', 'to', 'output', 'manual_dir']
)
def test_a_path_that_is_empty(values, capsys, name):
  flags.DEFINE_string(name, None, '', flag_values=values)
  with pytest.raises(SystemExit):
    command.parse_flags(['x', f'--{name}='])
  assert (
    capsys.readouterr().err == f'error: --{name} is empty; expected a path\n'
  )


def test_ctrl_c_is_one_line(monkeypatch, capsys):
  monkeypatch.setattr(command.app, 'run', lambda main, **_: main(['x']))

  def main():
    raise KeyboardInterrupt

  with pytest.raises(SystemExit) as e:
    command.run(main)
  assert e.value.code == 130
  assert capsys.readouterr().err == 'error: stopped by Ctrl-C\n'


@pytest.mark.parametrize(
  ('given', 'margins'),
  [
    (('data.target.size=(256,512)',), (8, 60, 0, 0)),
    (('data.target.size=(256,512)', 'mixing.margins=(1,2,3,4)'), (1, 2, 3, 4)),
    (('mixing.margins=(1,2,3,4)',), (1, 2, 3, 4)),
    ((), (15, 120, 0, 0)),
  ],
)
def test_margins_follow_the_size_of_the_target(given, margins):
  config = command.read_config(
    'daformer:pair=gta2cityscapes', [f'--config.{x}' for x in given]
  )
  assert tuple(config.mixing.margins) == margins
