import pytest

from jaxuda import errors
from jaxuda.methods import cyclegan


def test_an_unknown_loss_is_named():
  with pytest.raises(errors.UserError, match=r'method.gan=.wasserstein.'):
    cyclegan.Method(num_classes=2, total_steps=1, gan='wasserstein')
