"""The network is a 1x1 convolution, so its output for a view is known."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.pixels import resizing
from jaxuda.evaluate import views
from jaxuda.run import workdir as workdir_lib
from tests import tiny

SIZE = (8, 16)


@pytest.fixture(scope='module')
def net():
  method = tiny.Method()
  key, example = workdir_lib.init_args(tiny.make_config(), method)
  return jax.jit(method.init)(key, example), method


def look(image, net, **options):
  return views.mean_probabilities(
    image, net[0], method=net[1], size=SIZE, views=views.Views(**options)
  )


def picture(height, width):
  rng = np.random.default_rng(height)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def expected(image, net):
  """Returns the probabilities of a network without context."""
  return jax.nn.softmax(net[1].predict(net[0], image[None])['logits'][0])


def test_one_view(net):
  image = picture(*SIZE)
  maps = look(image, net)
  np.testing.assert_allclose(maps, expected(image, net), atol=1e-6)
  np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)


def test_flip_and_windows_change_nothing_without_context(net):
  """Each piece sees what it covers; averages of equal numbers."""
  image = picture(21, 40)
  direct = expected(image, net)
  for options in (
    {'window': True},
    {'window': True, 'flip': True},
    {'window': True, 'overlap': 0.0},
  ):
    maps = look(image, net, **options)
    assert maps.shape == (21, 40, tiny.CLASSES)
    np.testing.assert_allclose(maps, direct, atol=1e-6)
  # Smaller than the window.
  image = picture(5, 11)
  maps = look(image, net, window=True)
  np.testing.assert_allclose(maps, expected(image, net), atol=1e-6)


@pytest.mark.parametrize('scale', [0.5, 1.25, 2.0])
def test_pixels_of_a_scaled_picture_stay_where_they_are(net, scale):
  """Their centres do, as in the resizing of the picture itself."""
  image = picture(16, 24)
  size = round(16 * scale), round(24 * scale)
  seen = np.asarray(expected(resizing.resize_image(image, size), net))
  by_opencv = cv2.resize(seen, (24, 16), interpolation=cv2.INTER_LINEAR)
  maps = look(image, net, window=True, scales=(scale,))
  np.testing.assert_allclose(maps, by_opencv, atol=1e-5)


class Sided(tiny.Method):
  """Likes the first class the more the farther to the right it looks."""

  def predict(self, state, image, *, size=None):
    out = super().predict(state, image, size=size)
    more = jnp.linspace(0, 3, out['logits'].shape[2]).reshape(1, 1, -1, 1)
    first = jnp.arange(self.num_classes).reshape(1, 1, 1, -1) == 0
    return {'logits': out['logits'] + jnp.where(first, more, 0)}


def both_sides(image, net):
  """Returns the mean of what is said of a picture and of its mirror image."""
  there = expected(image[:, ::-1].copy(), net)
  return (expected(image, net) + there[:, ::-1]) / 2


def test_a_mirror_image_is_looked_at_and_turned_back(net):
  sided = net[0], Sided()
  image = picture(*SIZE)
  maps = look(image, sided, flip=True)
  np.testing.assert_allclose(maps, both_sides(image, sided), atol=1e-6)
  assert np.abs(maps - look(image, sided)).max() > 0.1


@pytest.mark.parametrize('flip', [False, True])
def test_windows_are_of_the_networks_size_and_averaged(net, flip):
  """A network that sees where it is in its window, of 16 of 30 columns."""
  sided = net[0], Sided()
  image = picture(8, 30)
  total, count = np.zeros((8, 30, tiny.CLASSES)), np.zeros((30, 1))
  for left in (0, 7, 14):
    place = np.s_[:, left : left + 16]
    say = both_sides if flip else expected
    total[place] += say(image[place].copy(), sided)
    count[left : left + 16] += 1
  maps = look(image, sided, window=True, flip=flip)
  np.testing.assert_allclose(maps, total / count, atol=1e-6)


def test_flip_is_symmetric(net):
  image = picture(10, 14)
  maps = look(image, net, flip=True, scales=(1.0, 1.5))
  mirrored = look(image[:, ::-1].copy(), net, flip=True, scales=(1.0, 1.5))
  np.testing.assert_allclose(maps, mirrored[:, ::-1], atol=1e-6)


def test_scales_are_averaged(net):
  image = picture(*SIZE)
  maps = look(image, net, scales=(1.0, 0.5))
  both = [look(image, net, scales=(s,)) for s in (1.0, 0.5)]
  assert np.abs(both[0] - both[1]).max() > 0.01
  np.testing.assert_allclose(maps, (both[0] + both[1]) / 2, atol=1e-6)


def test_starts():
  assert views.starts(16, 16, 0.5) == [0]
  assert views.starts(17, 16, 0.5) == [0, 1]
  assert views.starts(32, 16, 0.0) == [0, 16]
  assert views.starts(32, 16, 0.5) == [0, 8, 16]
  for side in range(16, 70):
    places = views.starts(side, 16, 1 / 3)
    assert (places[0], places[-1]) == (0, side - 16)
    assert max(np.diff(places), default=0) <= 11


def test_scales_of_a_command_line_are_text():
  assert views.Views(scales=['0.75', '1']).scales == (0.75, 1.0)
  assert views.Views(scales=['1']) == views.ONCE


def test_mistakes():
  for options in (
    *({'scales': ()}, {'scales': (0.0,)}, {'scales': ('a',)}),
    *({'scales': ('nan',)}, {'scales': ('1', 'inf')}),
    {'overlap': 1.0},
  ):
    with pytest.raises(errors.UserError, match='expected'):
      views.Views(**options)
