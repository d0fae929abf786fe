import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.losses import segmentation

LOGITS = jnp.array([[2.0, 0], [0, 1], [1, 1]]).reshape(1, 1, 3, 2)
LABEL = jnp.array([0, 1, 0]).reshape(1, 1, 3)


def test_known_values():
  plain = segmentation.cross_entropy(LOGITS, LABEL)
  weighted = segmentation.cross_entropy(LOGITS, LABEL, class_weights=(1, 5))
  np.testing.assert_allclose(plain, 0.377779, atol=1e-6)
  np.testing.assert_allclose(weighted, 0.340912, atol=1e-6)


def test_ignored_pixels_have_no_say_and_no_gradient():
  label = LABEL.at[0, 0, 2].set(255)
  kept = segmentation.cross_entropy(LOGITS[:, :, :2], LABEL[:, :, :2])
  np.testing.assert_allclose(
    segmentation.cross_entropy(LOGITS, label), kept, rtol=1e-6
  )
  gradient = jax.grad(segmentation.cross_entropy)(LOGITS, label)
  assert not gradient[0, 0, 2].any()
  assert gradient[0, 0, :2].all()


def test_no_labelled_pixel_is_zero():
  nothing = jnp.full((1, 1, 3), 255)
  assert segmentation.cross_entropy(LOGITS, nothing) == 0
  assert not jax.grad(segmentation.cross_entropy)(LOGITS, nothing).any()


def test_half_precision_is_summed_in_single():
  loss = segmentation.cross_entropy(LOGITS.astype(jnp.bfloat16), LABEL)
  assert loss.dtype == jnp.float32


def test_weighted_mean_over_all_pixels():
  # -log p is 0.126928, 0.313262 and log 2; the ignored one counts as 0.
  weight = jnp.array([0.5, 2, 1]).reshape(1, 1, 3)
  label = LABEL.at[0, 0, 2].set(255)
  loss = segmentation.weighted_cross_entropy(LOGITS, label, weight)
  np.testing.assert_allclose(
    loss, (0.5 * 0.126928 + 2 * 0.313262) / 3, rtol=1e-5
  )


def test_the_average_of_all_pixels_counts_the_ignored():
  label = LABEL.at[0, 0, 2].set(255)
  loss = segmentation.cross_entropy(LOGITS, label, average_all=True)
  np.testing.assert_allclose(loss, (0.126928 + 0.313262) / 3, rtol=1e-5)


def test_the_loss_of_a_detail_crop_is_of_its_own_pixels():
  rng = np.random.default_rng(0)
  fused, part = rng.normal(size=(2, 6, 8, 3)), rng.normal(size=(2, 2, 4, 3))
  label, weight = rng.integers(0, 3, (2, 6, 8)), rng.uniform(size=(2, 6, 8))

  def by_hand(logits, label, weight):
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, label[..., None], -1)[..., 0]
    return -(chosen * weight).mean()

  place = np.s_[:, 3:5, 1:5]
  whole = by_hand(fused, label, weight)
  expected = 0.9 * whole + 0.1 * by_hand(part, label[place], weight[place])
  detail = {'logits': jnp.asarray(part), 'box': jnp.array([3, 1])}
  maps = [jnp.asarray(label), jnp.asarray(weight)]
  loss = segmentation.with_detail(
    *(segmentation.weighted_cross_entropy, jnp.asarray(fused), maps),
    detail=detail,
  )
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  alone = segmentation.with_detail(
    segmentation.weighted_cross_entropy, jnp.asarray(fused), maps
  )
  np.testing.assert_allclose(alone, whole, rtol=1e-5)
