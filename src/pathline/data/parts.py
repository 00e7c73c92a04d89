"""How many rows go to training, validation and test."""

import math

from pathline.errors import InputError


def part_sizes(rows: int, validation: float | int, test: float | int, title: str) -> tuple[int, int, int]:
    """The numbers of rows for training, validation and test, in that order of time.

    Arguments:
        rows: how many there are.
        validation, test: fractions below 1, or numbers of rows.
        title: of what is cut, for messages.

    Raises:
        InputError: a share is neither a fraction nor a positive whole number, or a part would be empty.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not (0 < share < 1 or (share >= 1 and math.isfinite(share) and share == int(share))):
            raise InputError(f"The {name} share {share} is neither a fraction between 0 and 1 nor a number of rows.")
    if validation < 1 and test < 1 and validation + test >= 1:
        raise InputError(f"Fractions of {validation:g} and {test:g} leave nothing to train on; make them smaller.")
    sizes = _sizes(rows, validation, test)
    if min(sizes) < 1:
        needed = rows + 1
        while min(_sizes(needed, validation, test)) < 1:
            needed += 1
        raise InputError(
            f"{title!r} has {rows} rows, too few to hold out {validation:g} for validation and {test:g} for test; "
            f"at least {needed} are needed."
        )
    return sizes


def _sizes(rows: int, validation: float | int, test: float | int) -> tuple[int, int, int]:
    held_validation, held_test = (round(share * rows) if share < 1 else int(share) for share in (validation, test))
    return rows - held_validation - held_test, held_validation, held_test
