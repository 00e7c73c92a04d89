"""Dataclasses to flags, by tyro; a mistake in them becomes one sentence."""

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

import tyro

from pathline.errors import InputError, nearest

T = TypeVar("T")


def parse(cls: type[T], arguments: Sequence[str], *, command: str) -> T:
    """An instance of the dataclass `cls` from command-line words; `--help` prints its flags and exits.

    Nested dataclasses contribute their flags without a prefix.

    Raises:
        InputError: an unknown flag (with the nearest known one), a missing or malformed value.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            given, unknown = tyro.cli(
                cls,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
                args=list(arguments),
                prog=f"pathline {command}",
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise InputError(f"{_sentence(complaint.getvalue())}; see `pathline {command} --help`.") from None
    if unknown:
        hint = nearest(unknown[0], flags(cls))
        raise InputError(f"`pathline {command}` does not take {unknown[0]!r}{hint}; see `pathline {command} --help`.")
    return given


def flag_value(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of one flag, before the rest can be parsed: which method is meant decides what flags there are."""
    value = default
    for place, word in enumerate(arguments):
        if word == flag:
            value = next(iter(arguments[place + 1 :]), "")
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value


def repeatable(arguments: Sequence[str]) -> list[str]:
    """The words that give the same report again: without the run directory, which is taken by then."""
    words = [word for word in arguments if not word.startswith("--run=")]
    if "--run" in words:
        place = words.index("--run")
        del words[place : place + 2]
    return words


def flags(cls: type) -> list[str]:
    """The flags of a dataclass and of those nested in it."""
    names: list[str] = []
    for field in fields(cls):
        if isinstance(field.type, type) and is_dataclass(field.type):
            names += flags(field.type)
        else:
            names.append(f"--{field.name.replace('_', '-')}")
    return names


def _sentence(box: str) -> str:
    """The first statement of tyro's boxed message, on one line."""
    lines = [line.strip(" │╭╮╰╯─|+-") for line in box.splitlines()]
    body = " ".join(line for line in lines[1:] if line)
    body = re.split(r"Got errors:|Argument helptext|For full helptext", body)[0]
    if missing := re.match(r"Missing from .*?: +(\S+)", body):
        return f"The argument {missing[1]} is missing"
    said = re.sub(r"\s+", " ", body.replace("─", "")).strip().rstrip(".:")
    if wrong := re.match(r"Error parsing (\S+): .*?('[^']*')\]?$", said):
        return f"{wrong[1]} cannot be {wrong[2]}"
    if lacking := re.match(r"Missing value for argument '(\S+)'", said):
        return f"{lacking[1]} lacks its value"
    said = said.replace(". Expected", "; expected")
    return said[:1].upper() + said[1:] or "The arguments could not be read"
