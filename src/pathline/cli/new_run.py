"""A run directory that a command fills, and that a mistake does not leave behind."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pathline.errors import InputError
from pathline.train import open_run


@contextmanager
def new_run(run: Path, config: dict[str, Any], *, worthless: Callable[[Path], bool]) -> Iterator[Path]:
    """Open a run; a mistake that comes to light while it is filled removes what was created for it.

    Arguments:
        run: the directory.
        config: everything that determines the run.
        worthless: whether nothing in the directory took time to make: what did is kept.

    Raises:
        InputError: the directory is taken, or whatever was raised inside.
    """
    missing = [path for path in (run, *run.parents) if not path.exists()]
    run = open_run(run, config)
    try:
        yield run
    except InputError:
        if missing and worthless(run):
            shutil.rmtree(run)
            # Another run may have begun in a folder above in the meantime.
            with suppress(OSError):
                for parent in missing[1:]:
                    parent.rmdir()
        raise
