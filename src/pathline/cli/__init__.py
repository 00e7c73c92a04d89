"""The command line: the verbs and the catalogue as commands. This module stays light, so that `--help` is instant."""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pathline import __version__
from pathline.errors import InputError, nearest

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "forecast": "forecast a series with intervals; compares every method unless told which",
    "generate": "learn the law of samples (points, images, fields) and draw new ones",
    "papers": "list the papers of the catalogue and how their claims fare",
    "show": "one paper: what it does, its claims, what was measured",
    "reproduce": "run a paper's reproduction and check its claims",
    "cite": "print a paper's BibTeX entry",
    "gallery": "build the catalogue as static web pages",
}
"""Every command and what it does. The command `name` is `run(arguments)` in a module of this folder."""

_MODULES = {"forecast": "forecast", "generate": "generate"} | dict.fromkeys(
    ("papers", "show", "reproduce", "cite", "gallery"), "catalogue"
)

_HELP = """\
Pathline {version}: learned dynamics on JAX.

usage: pathline COMMAND [ARGUMENTS]

{commands}

`pathline COMMAND --help` tells a command's flags. Start with: pathline forecast sunspots"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Arguments:
        arguments: the words after `pathline`; those of the process when absent.

    Returns:
        The exit code: 0 done, 1 a claim or check failed, 2 a mistake in what was given, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        # A reader that left is noticed here and not when the interpreter ends.
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"pathline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "pathline: interrupted; what was already written is kept, and the same command with that --run goes on.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # The reader of our output left (`pathline papers | head`): that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
        print(_HELP.format(version=__version__, commands=commands))
        return 0
    if words[0] in ("-V", "--version"):
        print(f"pathline {__version__}")
        return 0
    if words[0] not in COMMANDS:
        hint = nearest(words[0], COMMANDS)
        raise InputError(f"There is no command {words[0]!r}{hint}; `pathline --help` lists them.")
    _quiet_and_cached()
    module = import_module(f"pathline.cli.{_MODULES[words[0]]}")
    return getattr(module, f"run_{words[0]}")(words[1:])


def entry() -> None:
    """The console script."""
    sys.exit(main())


def _quiet_and_cached() -> None:
    """Warnings as plain lines; compilations kept between runs (set before JAX is imported, honoured if set already)."""
    warnings.showwarning = lambda message, *_, **__: print(f"pathline: {message}", file=sys.stderr)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pathline" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
