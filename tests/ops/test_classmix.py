import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.ops import classmix

LABEL = jnp.array([[0, 0, 1, 1], [0, 2, 2, 1], [2, 2, 2, 255], [0, 0, 255, 1]])


def test_pasted_pixels_by_hand():
  chosen = jnp.array(
    [False, True, False, False, True]
  )  # Of 4 classes: 1, void.
  np.testing.assert_array_equal(
    classmix.paste_mask(chosen, LABEL),
    [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 1]],
  )


def test_half_of_the_classes_that_are_there():
  draw = jax.vmap(
    lambda key: classmix.draw_classes(key, LABEL, classes=4, with_void=True)
  )
  chosen = np.asarray(draw(jax.random.split(jax.random.key(0), 600)))
  # Classes 0, 1, 2 and void occur, 3 does not: two of four, equally often.
  assert (chosen.sum(1) == 2).all()
  np.testing.assert_allclose(chosen.mean(0), [0.5, 0.5, 0.5, 0, 0.5], atol=0.08)


def test_without_void_two_of_three():
  key = jax.random.key(1)
  for i in range(8):
    chosen = classmix.draw_classes(
      jax.random.fold_in(key, i), LABEL, classes=4, with_void=False
    )
    assert chosen.sum() == 2
    assert not chosen[3:].any()


def test_one_class_is_pasted_and_nothing_is_not():
  road = jnp.zeros((2, 2), int)
  chosen = classmix.draw_classes(jax.random.key(0), road, classes=4)
  np.testing.assert_array_equal(chosen, [1, 0, 0, 0, 0])
  void = jnp.full((2, 2), 255)
  chosen = classmix.draw_classes(
    jax.random.key(0), void, classes=4, with_void=False
  )
  assert not chosen.any()


def test_a_batch_has_the_classes_of_all_its_images():
  # 0, 1, 2, void of the one, 3 of the other: three of five are drawn.
  both = jnp.stack([LABEL, jnp.full((4, 4), 3)])
  draw = jax.vmap(lambda key: classmix.draw_classes(key, both, classes=4))
  chosen = np.asarray(draw(jax.random.split(jax.random.key(0), 400)))
  assert (chosen.sum(1) == 3).all()
  np.testing.assert_allclose(chosen.mean(0), 0.6, atol=0.1)
  # The same on two devices, which have one each.
  split = jax.vmap(
    lambda x: classmix.draw_classes(jax.random.key(7), x, classes=4, axis='i'),
    axis_name='i',
  )(both)
  whole = classmix.draw_classes(jax.random.key(7), both, classes=4)
  np.testing.assert_array_equal(split, [whole, whole])
