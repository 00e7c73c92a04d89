"""The samples that ship with Pathline are what their provenance says."""

import numpy as np
import pytest

from pathline.data import BUILTIN_SAMPLES, builtin_samples
from pathline.errors import InputError


def test_digits_are_those_of_scikit_learn():
    found = builtin_samples("digits")
    assert found.values.shape == (1797, 1, 8, 8) and found.values.dtype == np.float32
    assert found.values.min() == 0 and found.values.max() == 1 and found.classes == tuple("0123456789")
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(found.values.reshape(1797, 64) * 16, pixels)
    np.testing.assert_array_equal(found.labels, labels)


def test_names():
    assert set(BUILTIN_SAMPLES) == {"digits"}
    with pytest.raises(InputError, match=r"no built-in set 'digit' \(did you mean 'digits'\?\)"):
        builtin_samples("digit")
