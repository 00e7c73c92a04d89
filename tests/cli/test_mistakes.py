"""A user's mistake gives one line that names the thing, exit code 2, and nothing is lost or left behind."""

import json
from pathlib import Path

import numpy as np
import pytest

from pathline.cli import main
from pathline.data import Series
from pathline.forecast import Persistence
from pathline.train import save

FILES = {
    "empty.csv": "",
    "head.csv": "t,x\n",
    "prose.csv": "Dear reader,\nthis is no table.\n",
    "short.csv": "t,x\n" + "".join(f"{i},{i % 3}\n" for i in range(9)),
    "fine.csv": "t,x,y\n" + "".join(f"{i},{i % 5},{i % 3}\n" for i in range(60)),
    "hole.csv": "t,x,y\n" + "".join(f"{i},{i % 5},\n" for i in range(60)),
    "twice.csv": "t,x\n1,1\n1,2\n",
    "notes.doc": "t,x\n1,1\n",
}

MISTAKES = {
    # What was typed, and what the message has to name.
    "forecast": "SOURCE",
    "forecast nosuch": "nosuch",
    "forecast sunspot": "'sunspots'",
    "forecast nosuch.csv": "nosuch.csv",
    "forecast fin.csv": "'fine.csv'",
    "forecast notes.doc": "notes.doc",
    "forecast .": ".csv",
    "forecast empty.csv": "empty.csv is empty",
    "forecast head.csv": "head.csv",
    "forecast prose.csv": "prose.csv",
    "forecast twice.csv": "two rows for the time",
    "forecast short.csv": "'short' has 9 rows",
    "forecast hole.csv --method linear": "'y'",
    "forecast fine.csv --columns z": "'z'",
    "forecast fine.csv --time z": "'z'",
    "forecast fine.csv --start never": "'never'",
    "forecast fine.csv --start 100": "100",
    "forecast sunspots --columns moon": "moon",
    "forecast sunspots --horizon 0": "horizon",
    "forecast sunspots --horizon -3": "-3",
    "forecast sunspots --horizon 500": "'Sunspots' has 309 rows",
    "forecast sunspots --horizon six": "--horizon cannot be 'six'",
    "forecast sunspots --seed x": "--seed cannot be 'x'",
    "forecast sunspots --budget": "--budget lacks its value",
    "forecast sunspots --budget 0": "--budget cannot be 0",
    "forecast sunspots --budget nan": "--budget cannot be nan",
    "forecast sunspots --method": "linear",
    "forecast sunspots --method liner": "'linear'",
    "forecast sunspots --method=liner": "'linear'",
    "forecast sunspots --metod linear": "'--method'",
    "forecast sunspots --lags 3": "--lags",
    "forecast sunspots --method linear --lags 0": "lags of linear cannot be 0",
    "forecast sunspots --method linear --lags 999": "999 lags",
    "forecast sunspots --method linear --ridge -1": "ridge of linear cannot be -1",
    "forecast sunspots --method neural_ode --steps 0": "steps of neural_ode cannot be 0",
    "forecast sunspots --method neural_ode --budget 1e-6": "budget",
    "forecast sunspots moon": "'moon'",
    "forecast sunspots --model nosuch": "nosuch",
    "forecast sunspots --model .": "model.eqx",
    "forecast sunspots --model good --method linear": "--method",
    "forecast sunspots --model damaged": "damaged",
    "forecast sunspots --model foreign": "not a Pathline model",
    "forecast sunspots --model pickled": "not a Pathline model",
    "forecast sunspots --model another": "not a forecaster",
    "forecast lynx --model good": "lynx trapped",
    "forecast fine.csv --columns x --model good": "select those",
    "forecast sunspots --run good": "already holds a finished run",
    "forecast sunspots --run other": "not empty and not a run directory",
    "forecast sunspots --run fine.csv": "is a file",
    "forecast sunspots --run unfinished": "another configuration",
    "forecast sunspots --run /proc/nosuch/run": "/proc/nosuch",
    "forcast sunspots": "'forecast'",
    "--nonsense": "--nonsense",
    "papers x": "'x'",
    "show": "SLUG",
    "show nosuch": "nosuch",
    "cite opening-the-blackbx": "'opening-the-blackbox'",
    "reproduce": "--all",
    "reproduce nosuch": "nosuch",
    "reproduce opening-the-blackbox --preset huge": "'huge'",
    "reproduce opening-the-blackbox --all": "--all",
    "gallery --out": "--out lacks its value",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with files, runs and models of every kind."""
    place = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        (place / name).write_text(content)
    sunspots = Series.from_arrays(np.arange(60.0), np.arange(60.0) % 11, names=("sunspot number",))
    save(place / "good", Persistence().fit(sunspots, horizon=3, key=_key()))
    save(place / "another", {"not": "a forecaster"})
    model = (place / "good" / "model.eqx").read_bytes()
    for name, content in {
        "damaged": model[:-9] + b"\x00" * 9,
        "foreign": b"PK\x03\x04" + bytes(100),
        "pickled": b"\x80\x04\x95" + b"\n." * 40,
    }.items():
        (place / name).mkdir()
        (place / name / "model.eqx").write_bytes(content)
    (place / "other").mkdir()
    (place / "other" / "thesis.tex").write_text("years of work")
    (place / "unfinished").mkdir()
    (place / "unfinished" / "config.json").write_text(json.dumps({"command": "forecast", "seed": 7}))
    return place


def _key():
    import jax

    return jax.random.key(0)


def everything(place: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(place.rglob("*"))}


@pytest.mark.parametrize("typed", MISTAKES)
def test_one_line_exit_code_2_and_no_change(typed, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = everything(place)
    assert main(typed.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("pathline: ") and printed.err.count("\n") == 1 and "Traceback" not in printed.err
    assert MISTAKES[typed] in printed.err
    # No run directory is left behind, and what was there is whole.
    assert everything(place) == before


def test_help_and_version_are_no_mistakes(capsys):
    assert main([]) == main(["--help"]) == main(["help"]) == main(["--version"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("usage: pathline COMMAND") == 3 and printed.err == ""
