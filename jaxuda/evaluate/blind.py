"""Criteria of how good a network is on the target, without labels of it.

They are measured on the images of the target's evaluation split, alongside the
scores if it has labels and in their place if not:

* 'blind_entropy': mean entropy of the prediction, by which Morerio, Cavazza and
  Murino choose a hyper-parameter ("Minimal-entropy correlation alignment for
  unsupervised deep domain adaptation", ICLR 2018). 0..1, low is good; a network
  that predicts one class everywhere has 0.
* 'blind_information': entropy of the mean prediction minus that mean entropy,
  i.e. the mutual information of pixel and class; it unmasks such a network (Shi
  and Sha, "Information-theoretical learning of discriminative clusters for
  unsupervised domain adaptation", ICML 2012). 0..1, high is good.
* 'blind_density': soft neighbourhood density of the class probabilities of a
  few pixels of each image (Saito et al., "Tune it the right way: unsupervised
  validation of domain adaptation via soft neighborhood density", ICCV 2021),
  see `ops.entropy.soft_density`. High is good.
* 'blind_teacher': share of the pixels to which student and teacher (Tarvainen
  and Valpola, "Mean teachers are better role models", NeurIPS 2017) give the
  same class; for methods with a teacher. High is good.
* 'blind_flip': the same for an image and its mirror image; for other methods.
* 'blind_choice': information times the square of whichever agreement there is,
  by which the best checkpoint is chosen. Information alone is fooled by a
  network that grows confident of wrong labels, agreement alone by one that says
  little; docs/scores.md shows what each loses. 0..1, high is good.
* 'blind_depth': mean agreement of the source's and the target's depth decoders,
  with which CorDA weights pixels (Wang et al., ICCV 2021, eq. 9; the target's
  decoder stands in for the depth, which is unknown here). 0..1, high is good.

As far as we know, nobody else uses the last four to choose checkpoints: they
are quantities that the papers train with, and 'blind_choice' is this project's.

Padding counts as image. Needs no TF.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxuda.ops import depth as depth_ops
from jaxuda.ops import difficulty
from jaxuda.ops import entropy

# Name of a criterion -> its description, and 1 if high is good, -1 if low is.
CRITERIA: Mapping[str, tuple[str, int]] = {
  'blind_entropy': ('entropy', -1),
  'blind_information': ('information (diversity minus entropy)', 1),
  'blind_density': ('soft neighbourhood density', 1),
  'blind_teacher': ('agreement of teacher and student', 1),
  'blind_flip': ('agreement of image and mirror image', 1),
  'blind_depth': ('agreement of the depth decoders', 1),
  'blind_choice': ('information times squared agreement', 1),
}
# The criterion that chooses the best checkpoint if the target has no labels.
CHOICE = 'blind_choice'

# Rows and columns of the pixels of an image whose neighbours are looked for,
# and the maximum number of pixels over all images.
_GRID = (4, 8)
_MOST = 4096


def look_again(
  method: Any, state: Any, image: jax.Array
) -> dict[str, jax.Array]:
  """Returns the other logits that `measure` compares. Runs under jit.

  Args:
    method: method whose `predict` is judged.
    state: training state.
    image: uint8 [B, H, W, 3] RGB.

  Returns:
    Logits [B, h, w, C] at the network's resolution: for a method with a
    teacher, 'teacher', those of its other network; otherwise 'flip', those of
    the mirrored images.
  """
  fields = {field.name for field in dataclasses.fields(method)}
  if 'evaluate' in fields and state.teacher is not None:
    other = 'student' if method.evaluate == 'teacher' else 'teacher'
    method = dataclasses.replace(method, evaluate=other)
    return {'teacher': method.predict(state, image, size='grid')['logits']}
  mirrored = image[:, :, ::-1]
  return {'flip': method.predict(state, mirrored, size='grid')['logits']}


def measure(
  out: Mapping[str, jax.Array], again: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """Returns what `finish` needs of the B images of a batch. Runs under jit.

  Args:
    out: outputs of `predict` for them, with logits [B, h, w, C].
    again: outputs of `look_again` for them, resized to h and w.

  Returns:
    'entropy' [B], 'probability' [B, C] (mean over the pixels), 'vectors'
    [B, K, C] (probabilities of K pixels), either 'teacher' or 'flip' [B], and,
    if there are two depth decoders, 'depth' [B].
  """
  logits = out['logits'].astype(jnp.float32)
  probability = jax.nn.softmax(logits, axis=-1)
  rows, columns = (
    (np.arange(n) * 2 + 1) * size // (2 * n)
    for n, size in zip(_GRID, logits.shape[1:3], strict=True)
  )
  points = probability[:, rows][:, :, columns]
  ((name, other),) = again.items()
  other = other[:, :, ::-1] if name == 'flip' else other
  agree = jnp.argmax(logits, -1) == jnp.argmax(other, -1)
  result = {
    'entropy': entropy.information(probability).sum(-1).mean((1, 2)),
    'probability': probability.mean((1, 2)),
    'vectors': points.reshape(len(points), -1, points.shape[-1]),
    name: agree.mean((1, 2)),
  }
  if 'depth_source' in out:
    source, target = (
      depth_ops.invert_depth(out[x]) for x in ('depth_source', 'depth')
    )
    valid = jnp.ones(target.shape, bool)
    agreement = difficulty.depth_agreement(
      source, target, target, valid=valid, floor=0.0
    )
    result['depth'] = agreement.mean((1, 2))
  return result


def finish(measured: Mapping[str, Sequence[Any]]) -> dict[str, float]:
  """Returns the criteria of a split.

  Args:
    measured: name -> what `measure` returned for each image.

  Returns:
    Those of `CRITERIA` that could be measured, by name.
  """
  mean = {
    name: np.mean(np.asarray(values, np.float64), 0)
    for name, values in measured.items()
    if name != 'vectors'
  }
  diversity = entropy.information(jnp.asarray(mean.pop('probability'))).sum()
  vectors = np.asarray(measured['vectors'], np.float32)
  vectors = vectors.reshape(-1, vectors.shape[-1])
  vectors = vectors[:: -(-len(vectors) // _MOST)]
  information = float(diversity) - mean['entropy']
  agreement = mean['teacher' if 'teacher' in mean else 'flip']
  found = {
    **{f'blind_{name}': value for name, value in mean.items()},
    'blind_information': information,
    'blind_choice': information * agreement**2,
    'blind_density': jax.jit(entropy.soft_density)(vectors),
  }
  return {x: round(float(found[x]), 6) for x in CRITERIA if x in found}


def choose(
  evaluations: Sequence[Mapping[str, Any]], name: str
) -> Mapping[str, Any] | None:
  """Returns the evaluation that is best by a criterion or a score.

  Args:
    evaluations: figures by name and 'step', in the order of the steps; ties go
      to the latest.
    name: one of `CRITERIA`, or a figure for which high is good.

  Returns:
    The evaluation; None if none has the figure.
  """
  sign = CRITERIA.get(name, ('', 1))[1]
  known = [x for x in evaluations if x.get(name) is not None]
  return max(known, key=lambda x: (sign * x[name], x['step']), default=None)


def correlate(
  evaluations: Sequence[Mapping[str, Any]], name: str, score: str
) -> tuple[float | None, int]:
  """Returns Spearman's rank correlation of a criterion with a true score.

  The sign is such that 1 is good: it is reversed for a criterion for which low
  is good. Equal values share their mean rank.

  Args:
    evaluations: figures by name, from one run or several.
    name: one of `CRITERIA`.
    score: name of the score, such as 'mIoU7'.

  Returns:
    (the correlation in -1..1, None if either never changes; number of
    evaluations that have both).
  """
  pairs = [
    (x[name], x[score])
    for x in evaluations
    if x.get(name) is not None and x.get(score) is not None
  ]
  if any(len(set(side)) < 2 for side in zip(*pairs, strict=True)) or not pairs:
    return None, len(pairs)
  value = stats.spearmanr(*zip(*pairs, strict=True)).statistic
  return CRITERIA[name][1] * float(value), len(pairs)
