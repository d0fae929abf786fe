from ml_collections import config_dict
import pytest

from jaxuda import errors
from jaxuda.run import config_fields
from jaxuda.run import workdir as workdir_lib


def _config():
  return config_dict.create(
    name='dada',
    log_every=10,
    stop_step=50,
    optim={'learning_rate': 1.0, 'betas': (0.9, 0.99)},
    data={
      'data_dir': config_dict.placeholder(str),
      'source': {'size': (32, 64), 'manual_dir': None},
    },
  )


def test_check_config_lets_pass_what_changes_no_number():
  old = workdir_lib.config_to_dict(_config())
  new = _config()
  new.log_every, new.stop_step = 5, 70
  new.data.data_dir = '/elsewhere'
  new.data.source.manual_dir = '/there'
  new = workdir_lib.config_to_dict(new)
  config_fields.check_config(old, new, workdir='run')
  # Written as 1.0, read back as 1 by another JSON library.
  new['optim']['learning_rate'] = 1
  config_fields.check_config(old, new, workdir='run')


def test_check_config_takes_a_run_from_before_rewrites_had_auto():
  old = {'network': {'barriers': True}}
  config_fields.check_config(
    old, {'network': {'barriers': 'auto'}}, workdir='run'
  )
  for there, here in ((False, 'auto'), (True, 'off')):
    with pytest.raises(errors.UserError, match=r'differing: network\.barriers'):
      config_fields.check_config(
        {'network': {'barriers': there}},
        {'network': {'barriers': here}},
        workdir='run',
      )


def test_check_config_takes_a_run_from_before_images_were_scaled():
  old = workdir_lib.config_to_dict(_config())
  new = _config()
  with new.unlocked():
    new.data.source.scale_range = (1.0, 1.0)
  tree = workdir_lib.config_to_dict(new)
  config_fields.check_config(old, tree, workdir='run')
  new.data.source.scale_range = (1.0, 1.5)
  tree = workdir_lib.config_to_dict(new)
  with pytest.raises(
    errors.UserError, match=r'scale_range \(\[1.0, 1.0\] there, \[1.0, 1.5\] h'
  ):
    config_fields.check_config(old, tree, workdir='run')


def test_check_config_names_every_field_that_does():
  old = workdir_lib.config_to_dict(_config())
  new = workdir_lib.config_to_dict(_config())
  new['optim'] = {'learning_rate': 0.5, 'betas': [0.9, 0.999], 'power': 2}
  with pytest.raises(errors.UserError) as caught:
    config_fields.check_config(old, new, workdir='run')
  assert str(caught.value) == (
    'run holds a run with another config; differing: optim.betas ([0.9, 0.99]'
    ' there, [0.9, 0.999] here), optim.learning_rate (1 there, 0.5 here),'
    ' optim.power (absent there, 2 here); expected the same fields or another'
    ' --workdir'
  )


def test_check_config_names_the_method_alone_if_that_differs():
  old, new = (workdir_lib.config_to_dict(_config()) for _ in range(2))
  new |= {'name': 'advent', 'method': {'align': 'advent'}}
  with pytest.raises(errors.UserError) as caught:
    config_fields.check_config(old, new, workdir='run')
  assert str(caught.value) == (
    'run holds a run with another config; differing: name ("dada" there,'
    ' "advent" here); expected the same fields or another --workdir'
  )


def test_flat_fields_are_shown_as_json():
  flat = config_fields.flatten({'a': {'b': {'c': 2.0}, 'd': (1, 2)}, 'e': None})
  assert flat == {'a.b.c': 2.0, 'a.d': (1, 2), 'e': None}
  shown = [config_fields.show(flat, x) for x in (*flat, 'f')]
  assert shown == ['2', '[1, 2]', 'null', 'absent']


@pytest.mark.parametrize(
  ('field', 'there', 'here'),
  [
    ('initial', 'scratch', 'pretrained/resnet.pth'),
    ('initial', '', 'imagenet'),
    ('initial', 'imagenet', 'pretrained/resnet.pth'),
    ('generator', None, 'runs/cyclegan'),
    ('data.source.depth_dir', '', 'depth'),
    ('data.target.label_dir', 'labels', ''),
  ],
)
def test_check_config_tells_something_from_nothing(field, there, here):
  old, new = {field: there}, {field: here}
  with pytest.raises(errors.UserError, match=rf'differing: {field} \('):
    config_fields.check_config(old, new, workdir='run')
  # Wherever it is now.
  for same in (old, new):
    moved = {k: x and x.replace('/', '/moved/') for k, x in same.items()}
    config_fields.check_config(same, moved, workdir='run')


def test_check_config_takes_a_run_from_before_there_were_initial_weights():
  config_fields.check_config({}, {'initial': 'scratch'}, workdir='run')


def test_the_checkpoint_to_begin_with_matters_if_there_is_one():
  old = {'initial': 'runs/source', 'initial_checkpoint': 'last'}
  new = {**old, 'initial_checkpoint': 'best'}
  with pytest.raises(errors.UserError, match=r'initial_checkpoint \("last"'):
    config_fields.check_config(old, new, workdir='run')
  old, new = ({**x, 'initial': 'scratch'} for x in (old, new))
  config_fields.check_config(old, new, workdir='run')


def test_classes_of_a_loss_that_is_left_out_may_differ():
  """Configs of older runs do not name them."""
  old = {'features': {'weight': 0.0, 'classes': []}}
  new = {'features': {'weight': 0.0, 'classes': [6, 7]}}
  config_fields.check_config(old, new, workdir='run')
  new['features']['weight'] = 0.005
  with pytest.raises(errors.UserError, match=r'features\.classes .*weight'):
    config_fields.check_config(old, new, workdir='run')
