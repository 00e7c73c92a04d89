"""The run directory: where a fit leaves its configuration, its history, its model and its report."""

import json
from pathlib import Path
from typing import Any

from pathline.atomic import write_json
from pathline.errors import InputError
from pathline.train.saving import load_model, save_model

CONFIG = "config.json"
MODEL = "model.eqx"


def free_run(folder: Path | str, name: str) -> Path:
    """The first of `folder/name`, `folder/name-2`, `folder/name-3`, … that does not exist yet."""
    folder = Path(folder)
    number = 1
    while (run := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return run


def open_run(run: Path | str, config: dict[str, Any]) -> Path:
    """Begin a run, or take up one that was interrupted.

    Arguments:
        run: the directory; created when absent.
        config: everything that determines the run, as plain JSON data; written to `config.json`.

    Returns:
        The directory.

    Raises:
        InputError: the directory holds a finished run, a run with another configuration, or files of another kind:
            nothing already written is overwritten.
    """
    run = Path(run)
    wanted = json.loads(json.dumps(config))
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is a file, not a run directory; choose another --run.")
    if (run / MODEL).exists():
        raise InputError(f"{run} already holds a finished run; choose another --run, or apply it with --model {run}.")
    if (run / CONFIG).exists():
        if read_config(run) != wanted:
            raise InputError(f"{run} holds an unfinished run with another configuration; choose another --run.")
        return run
    # A process that was killed in `write_json` leaves its temporary file, and nothing else.
    if run.exists() and any(not file.match(f".{CONFIG}.*.part") for file in run.iterdir()):
        raise InputError(f"{run} is not empty and not a run directory; choose another --run.")
    write_json(run / CONFIG, config)
    return run


def read_config(run: Path | str) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        InputError: there is no readable `config.json`.
    """
    path = Path(run) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{run} is not a run directory: {CONFIG} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON; restore it or repeat the run.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} does not hold a configuration; restore it or repeat the run.")
    return config


def save(run: Path | str, model: Any) -> None:
    """Write a fitted model into its run directory as `model.eqx`; `load` gives it back.

    Raises:
        TypeError: the model holds something that cannot be saved, with its place.
    """
    save_model(Path(run) / MODEL, model)


def load(run: Path | str, *, trusted: tuple[str, ...] = ()) -> Any:
    """The fitted model of a run directory, in any process.

    Arguments:
        run: the directory that `fit(..., run=...)` or the command line wrote.
        trusted: names of further packages whose classes the model may use; Pathline and the libraries it stands on
            are trusted already.

    Returns:
        The fitted model, ready for its verb's call (`forecast`, `sample`, `rollout`, ...).

    Raises:
        InputError: there is no finished run, or its model is damaged or foreign.
    """
    run = Path(run)
    if not run.exists():
        raise InputError(f"There is no run directory {run}.")
    if not (run / MODEL).exists():
        raise InputError(f"{run} holds no {MODEL}: the run is unfinished or the folder is another; repeat the command.")
    return load_model(run / MODEL, trusted=trusted)
