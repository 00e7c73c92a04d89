"""The errors that a user can cause. Each message is one sentence: the thing, the place and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A mistake in what the user gave: a file, a shape, a flag, a value. The CLI prints it and exits with 2."""


class MissingExtraError(InputError):
    """An optional dependency is needed and absent."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs the extra `{extra}`: pip install 'pathline[{extra}]'.")


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name: `" (did you mean 'linear'?)"`, or an empty string when nothing is close."""
    match = get_close_matches(word, list(choices), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
