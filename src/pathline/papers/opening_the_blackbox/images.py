"""The images to be classified: the small digits that ship with Pathline, or MNIST from the user's own folder."""

import gzip
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pathline.data import builtin_samples
from pathline.data.files import check_size, told_in_one_sentence
from pathline.errors import InputError

HELD_OUT = 397
Pixels = Float[Array | np.ndarray, "image pixel"]


class Images(eqx.Module):
    """Images with pixels from 0 to 1, and their classes."""

    pixels: Pixels
    labels: Int[Array | np.ndarray, " image"]

    def cast(self) -> "Images":
        """In JAX's present precision."""
        return Images(jnp.asarray(self.pixels, float), jnp.asarray(self.labels, int))


def digits() -> tuple[Images, Images]:
    """1400 images of 8 x 8 pixels to learn from and 397 to be tested on, always the same."""
    found = builtin_samples("digits")
    assert found.labels is not None
    pixels = found.values.reshape(len(found), -1).astype(float)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = [Images(pixels[rows], found.labels[rows]) for rows in (order[:-HELD_OUT], order[-HELD_OUT:])]
    return images[0], images[1]


def mnist(folder: Path) -> tuple[Images, Images]:
    """The images to learn from and those to be tested on.

    Arguments:
        folder: holds the four files in their original format, `train-images-idx3-ubyte` and so on, gzipped or not.

    Raises:
        InputError: a file is missing or is not what its name says.
    """
    parts = []
    for part in ("train", "t10k"):
        pixels = _array(folder, f"{part}-images-idx3-ubyte", axes=3)
        labels = _array(folder, f"{part}-labels-idx1-ubyte", axes=1)
        if len(pixels) != len(labels):
            raise InputError(f"{folder} has {len(pixels)} {part} images and {len(labels)} labels; copy MNIST anew.")
        parts.append(Images(pixels.reshape(len(pixels), -1) / 255.0, labels.astype(int)))
    return parts[0], parts[1]


def _array(folder: Path, name: str, *, axes: int) -> np.ndarray:
    """An IDX file of bytes: a magic number, the length of each axis, the content."""
    for path in (folder / name, folder / f"{name}.gz"):
        if not path.exists():
            continue
        opened = gzip.open if path.suffix == ".gz" else open
        with told_in_one_sentence(path, "a file of MNIST"), opened(path, "rb") as file:
            magic, *shape = np.frombuffer(file.read(4 + 4 * axes), ">i4").tolist()
            size = int(np.prod(shape))
            check_size(path, size)
            # One byte more than there should be is asked for, so that a longer file is noticed and not unpacked.
            content = file.read(size + 1)
            if magic != 0x800 + axes or len(content) != size:
                raise InputError(f"{path} is damaged or no file of MNIST; copy it anew.")
        return np.frombuffer(content, np.uint8).reshape(shape)
    raise InputError(f"There is no {name} in {folder}; put the four files of MNIST there, gzipped or not.")
