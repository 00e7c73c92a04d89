"""Read `Samples` from an archive of arrays, a table or a folder of images."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from pathline.data.files import check_size, existing, read_archive, told_in_one_sentence
from pathline.data.numbers import column_numbers, listed
from pathline.data.samples import Samples
from pathline.data.text_table import read_text_table
from pathline.errors import InputError

SAMPLES_SUFFIXES = (".npz", ".csv", ".tsv", ".txt")
"""The endings that `read_samples` takes, besides folders of images."""

_LABELS = ("label", "labels", "class", "species")
_IMAGES = {".png", ".jpg", ".jpeg"}


def read_samples(path: Path | str) -> Samples:
    """Independent draws of one shape, from a file or a folder of images.

    An NPZ file holds the samples as `samples`, `x` or else its first array of numbers, `[sample, *shape]`, in the units
    that they have there; and optionally their classes as `labels` or `y`: whole numbers from 0, or names.

    A table (.csv .tsv .txt) has a row for each sample and a column for each coordinate; a column called `label`, `class`
    or `species` (in any case) holds the classes, and other columns of text are left out with a warning.

    A folder holds PNG or JPEG images of one size, or one sub-folder of them for each class, whose names become the
    classes. Images become `[channel, height, width]` in single precision from 0 to 1: one channel if all are grey, else
    three; transparency is dropped. They are in the order of their names.

    Arguments:
        path: the file or the folder.

    Raises:
        InputError: the file is missing, damaged or of another kind, a cell of a table is missing, an image has another
            size than the first, a folder mixes images and classes, or all would take over 4 GiB.
    """
    path = Path(path)
    with told_in_one_sentence(path, "samples"):
        if path.is_dir():
            return _from_folder(path)
        existing(path, SAMPLES_SUFFIXES)
        return _from_archive(path) if path.suffix.lower() == ".npz" else _from_table(path)


def _from_table(path: Path) -> Samples:
    # In memory a cell of a few characters is an object of some sixty bytes.
    check_size(path, 8 * path.stat().st_size)
    table = read_text_table(path)
    label = next((name for name in table.columns if name.lower() in _LABELS), None)
    values = {}
    for name in table.columns.drop([] if label is None else [label]):
        numbers, wrong = column_numbers(table[name])
        if wrong is not None and np.isnan(numbers).all():
            warnings.warn(f"Column {name!r} of {path} is text and left out.", stacklevel=3)
        elif wrong is not None:
            raise InputError(
                f"Row {wrong + 1} of column {name!r} in {path} is no number: {str(table[name][wrong])[:40]!r}."
            )
        elif np.isnan(numbers).any():
            row = int(np.argmax(np.isnan(numbers)))
            raise InputError(
                f"Row {row + 1} of column {name!r} in {path} is missing; samples have no gaps: leave it out."
            )
        else:
            values[name] = numbers
    if not values:
        raise InputError(f"{path} has no column of numbers; give a column for each coordinate.")
    samples = np.stack(list(values.values()), axis=1)
    if label is None:
        return Samples(samples, title=path.stem)
    classes, indices = np.unique(np.asarray([str(cell).strip() for cell in table[label]]), return_inverse=True)
    return Samples(samples, indices, classes=classes.tolist(), title=path.stem)


def _from_archive(path: Path) -> Samples:
    arrays = read_archive(path)
    label_name = next((name for name in ("labels", "y") if name in arrays), None)
    numeric = [
        name for name, array in arrays.items() if array.dtype.kind in "iufb" and array.ndim and name != label_name
    ]
    name = next((name for name in ("samples", "x", *numeric) if name in arrays), None)
    if name is None:
        held = listed(arrays) or "nothing"
        raise InputError(
            f"{path} has no array of samples (it holds {held}); save it with numpy.savez(path, samples=...)."
        )
    labels = None if label_name is None else arrays[label_name]
    if labels is None or labels.dtype.kind != "U":
        return Samples(arrays[name], labels, title=path.stem)
    classes, indices = np.unique(labels, return_inverse=True)
    return Samples(arrays[name], indices, classes=classes.tolist(), title=path.stem)


def _from_folder(folder: Path) -> Samples:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    images = _images_in(folder)
    if images and classes:
        raise InputError(f"{folder} holds both images and folders ({listed(classes)}); keep one or the other.")
    if images:
        return Samples(_decoded(images, folder), title=folder.name)
    by_class = [_images_in(folder / name) for name in classes]
    classes = [name for name, found in zip(classes, by_class, strict=True) if found]
    by_class = [found for found in by_class if found]
    if not by_class:
        raise InputError(f"{folder} holds no images; give a folder of {listed(sorted(_IMAGES))} files.")
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in by_class])
    values = _decoded([image for found in by_class for image in found], folder)
    return Samples(values, labels, classes=classes, title=folder.name)


def _images_in(folder: Path) -> list[Path]:
    if folder.is_symlink():
        raise InputError(f"{folder} points elsewhere, which is not followed; copy the images.")
    found = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in _IMAGES and entry.name[0] != ".")
    if link := next((entry for entry in found if entry.is_symlink()), None):
        raise InputError(f"{link} points elsewhere, which is not followed; copy the images.")
    return found


def _decoded(images: list[Path], folder: Path) -> Float[np.ndarray, "sample channel height width"]:
    """All images, after a first look at their sizes and colours that decodes none of them."""
    size, grey = None, True
    for place in images:
        with told_in_one_sentence(place, "an image"), _opened(place) as image:
            if size is not None and image.size != size:
                raise InputError(
                    f"{place} has {image.width}x{image.height} pixels and the images before it {size[0]}x{size[1]}; "
                    "bring all to one size."
                )
            size = image.size
            grey = grey and image.mode in ("1", "L", "LA", "I;16")
    assert size is not None
    shape = (len(images), 1 if grey else 3, size[1], size[0])
    check_size(folder, 4 * int(np.prod(shape)))
    values = np.empty(shape, np.float32)
    for row, place in enumerate(images):
        with told_in_one_sentence(place, "an image"), _opened(place) as image:
            values[row] = _scaled(image, grey)
    return values


def _opened(place: Path) -> Image.Image:
    # Pillow would otherwise try every format that it knows, whatever the ending.
    return Image.open(place, formats=("PNG", "JPEG"))


def _scaled(image: Image.Image, grey: bool) -> Float[np.ndarray, "channel height width"]:
    if image.mode == "I;16":
        pixels = np.asarray(image, np.float32)[None] / 65535
        return pixels if grey else np.repeat(pixels, 3, axis=0)
    pixels = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / 255
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
