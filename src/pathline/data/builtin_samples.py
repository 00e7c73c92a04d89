"""Real samples that ship with Pathline. `builtin/PROVENANCE.md` says where each comes from."""

from importlib.resources import as_file, files

import numpy as np

from pathline.data.files import read_archive
from pathline.data.samples import Samples
from pathline.errors import InputError, nearest

BUILTIN_SAMPLES = {"digits": "1797 handwritten digits, grey images of 8 x 8 pixels with their classes"}
"""Every built-in set of samples and what it holds."""


def builtin_samples(name: str) -> Samples:
    """A real set of samples by name.

    Arguments:
        name: a key of `BUILTIN_SAMPLES`.

    Returns:
        The samples, images as `[channel, height, width]` from 0 to 1, with their labels.

    Raises:
        InputError: there is none of that name.
    """
    if name not in BUILTIN_SAMPLES:
        raise InputError(
            f"There is no built-in set {name!r}{nearest(name, BUILTIN_SAMPLES)}; there are {', '.join(BUILTIN_SAMPLES)}."
        )
    with as_file(files("pathline.data") / "builtin" / f"{name}.npz") as path:
        arrays = read_archive(path)
    # Sixteen shades of grey.
    values = (arrays["samples"] / 16).astype(np.float32)
    return Samples(values, arrays["labels"].astype(int), classes=[str(digit) for digit in range(10)], title=name)
