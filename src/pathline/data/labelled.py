"""`Labelled`: sequences of different lengths, each of a known class."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from pathline.data.checks import as_array, named, real_array, whole_array
from pathline.data.samples import class_labels
from pathline.errors import InputError


class Labelled(eqx.Module):
    """Sequences of different lengths, each of a known class, padded to the longest.

    Arguments:
        sequences: `[sequence, time, channel]`; what lies beyond a sequence's length is not looked at and becomes zero.
        labels: `[sequence]`, the class of each as an index into `classes`.
        lengths: `[sequence]`, how many times each has; all of them when absent.
        classes: names of the classes; `0, 1, 2, ...` when absent.
        names: of the channels.
        title: of the whole, for people.

    Raises:
        InputError: shapes disagree, a length is 0 or exceeds the padded one, a value is not finite, or a label names no
            class.
    """

    sequences: Float[np.ndarray, "sequence time channel"]
    labels: Int[np.ndarray, " sequence"]
    lengths: Int[np.ndarray, " sequence"]
    classes: tuple[str, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)

    def __init__(
        self,
        sequences: Any,
        labels: Any,
        lengths: Any = None,
        *,
        classes: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        title: str = "sequences",
    ):
        padded = as_array(sequences, "the sequences")
        if padded.ndim == 3 and padded.dtype.kind in "iufb" and lengths is not None:
            self.lengths = whole_array(lengths, "the lengths", ("sequence",), below=padded.shape[1] + 1)
            if len(self.lengths) != len(padded) or not np.all(self.lengths):
                raise InputError(f"There must be {len(padded)} lengths of at least 1, one for each sequence.")
            padded = np.where((np.arange(padded.shape[1]) < self.lengths[:, None])[..., None], padded, 0)
        self.sequences = real_array(padded, "the sequences", ("sequence", "time", "channel"))
        if lengths is None:
            self.lengths = np.full(len(self.sequences), self.sequences.shape[1], dtype=np.int64)
        self.labels, self.classes = class_labels(labels, classes, len(self.sequences))
        self.names = named(names, "channels", self.sequences.shape[2], "x")
        self.title = title

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.sequences)

    @property
    def mask(self) -> Bool[np.ndarray, "sequence time"]:
        """True inside each sequence, false in its padding."""
        return np.arange(self.sequences.shape[1]) < self.lengths[:, None]
