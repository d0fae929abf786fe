import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import base
from jaxuda.models import deeplab
from jaxuda.step import state as state_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bare(base.Method):
  """A method with only what is required."""

  align: Literal['none', 'seg'] = 'none'

  @property
  def needs(self):
    return {}

  def init(self, key, example):
    raise NotImplementedError

  def train_step(self, state, batch, key):
    raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Averaging(Bare):
  evaluate: Literal['student', 'teacher'] = 'student'

  predict = base.predict_task

  @property
  def task(self):
    return deeplab.DeepLab(classes=self.num_classes, options=self.network)


COMMON = {
  'num_classes': 3,
  'total_steps': 10,
  'network': deeplab.Options(backbone='resnet_tiny', init='he'),
}


def test_optional_parts_are_none():
  method = Bare(**COMMON)
  for part in (method.predict, method.translate, method.pictures, method.task):
    assert part is None
  assert (method.evaluate, method.preparation) == ('student', '')
  with pytest.raises(TypeError, match='abstract'):
    base.Method(**COMMON)


def test_choices_are_checked():
  with pytest.raises(errors.UserError, match='expected one of none, seg'):
    Bare(align='x', **COMMON)


def test_student_or_teacher_is_evaluated():
  image = jnp.full((1, 33, 33, 3), 100, jnp.uint8)
  method = Averaging(**COMMON)
  student, teacher = (
    method.learner.create(jax.random.key(seed), image) for seed in (0, 1)
  )
  state = state_lib.create({'task': student}, teacher=teacher)
  for evaluate, net in (('student', student), ('teacher', teacher)):
    chosen = dataclasses.replace(method, evaluate=evaluate)
    out = chosen.predict(state, image, size=(20, 30))
    expected = deeplab.predict(method.task, net, image, size=(20, 30))
    np.testing.assert_array_equal(out['logits'], expected['logits'])
