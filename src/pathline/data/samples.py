"""`Samples`: independent draws of one shape, such as images, with labels or without."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from pathline.data.checks import named, real_array, whole_array
from pathline.errors import InputError


class Samples(eqx.Module):
    """Independent draws of one shape, such as images `[channel, height, width]` or points `[dim]`.

    Arguments:
        values: `[sample, *shape]`.
        labels: `[sample]`, the class of each sample as an index into `classes`; `None` when unknown.
        classes: names of the classes; `0, 1, 2, ...` when absent.
        title: of the whole, for people.

    Raises:
        InputError: shapes disagree, a value is not finite, or a label names no class.
    """

    values: Float[np.ndarray, "sample *shape"]
    labels: Int[np.ndarray, " sample"] | None
    classes: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)

    def __init__(
        self, values: Any, labels: Any = None, *, classes: Sequence[str] | None = None, title: str = "samples"
    ):
        self.values = real_array(values, "the samples", ("sample", "..."))
        self.labels, self.classes = None, ()
        if labels is not None:
            self.labels, self.classes = class_labels(labels, classes, len(self.values))
        elif classes is not None:
            raise InputError("Classes are named but there are no labels; give both or neither.")
        self.title = title

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.values.shape[1:]


def class_labels(
    labels: Any, classes: Sequence[str] | None, count: int
) -> tuple[Int[np.ndarray, " sample"], tuple[str, ...]]:
    """Labels as indices of classes, and the names of the classes.

    Arguments:
        labels: whole numbers from 0, one for each sample.
        classes: names; by default the numbers up to the largest label.
        count: how many samples there are.

    Raises:
        InputError: there are more or fewer labels than samples, or a label names no class.
    """
    found = whole_array(labels, "the labels", ("sample",), below=None if classes is None else len(classes))
    if len(found) != count:
        raise InputError(f"There are {len(found)} labels for {count} samples; give one for each.")
    if classes is None:
        if found.max() >= 2**20:
            raise InputError(f"The label {found.max()} is too large for a class; number the classes from 0.")
        return found, tuple(str(label) for label in range(int(found.max()) + 1))
    return found, named(classes, "classes", len(classes), "class")
