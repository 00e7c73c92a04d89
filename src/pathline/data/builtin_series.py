"""Real measured series that ship with Pathline. `builtin/PROVENANCE.md` says where each comes from."""

from importlib.resources import as_file, files

from pathline.data.read_series import read_series
from pathline.data.series import Series
from pathline.errors import InputError, nearest

BUILTIN_SERIES = {
    "sunspots": "yearly mean sunspot number, 1700-2008",
    "co2": "weekly atmospheric CO2 at Mauna Loa with its gaps, 1958-2001",
    "lynx": "Canadian lynx trapped each year, 1821-1934",
    "elnino": "monthly sea surface temperature of the eastern Pacific, 1950-2010",
    "gait": "acceleration of ankle, leg and trunk of a walking person, 9 columns at 32 Hz",
}
"""Every built-in series and what it holds."""

_TITLES = {
    "sunspots": "Sunspots",
    "co2": "CO₂ at Mauna Loa",
    "lynx": "Canadian lynx",
    "elnino": "El Niño sea surface temperature",
    "gait": "Acceleration while walking",
}
# A year is known to be a season; the solar and the lynx cycle vary in length and are left to the methods to find.
_PERIODS = {"co2": 365.25, "elnino": 12.0}


def builtin_series(name: str) -> Series:
    """A real series by name.

    Arguments:
        name: a key of `BUILTIN_SERIES`.

    Returns:
        The series, in the units that its column names give.

    Raises:
        InputError: there is none of that name.
    """
    if name not in BUILTIN_SERIES:
        raise InputError(
            f"There is no built-in series {name!r}{nearest(name, BUILTIN_SERIES)}; there are {', '.join(BUILTIN_SERIES)}."
        )
    with as_file(files("pathline.data") / "builtin" / f"{name}.csv") as path:
        found = read_series(path)
    return found.described(title=_TITLES[name], period=_PERIODS.get(name))
