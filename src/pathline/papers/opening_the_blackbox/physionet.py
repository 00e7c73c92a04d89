"""Records of the PhysioNet challenge of 2012 from the user's own folder: 37 quantities of patients over two days."""

import csv
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pathline.data.files import told_in_one_sentence
from pathline.errors import InputError

HOURS = 49
QUANTITIES = (
    *("Weight", "Albumin", "ALP", "ALT", "AST", "Bilirubin", "BUN", "Cholesterol", "Creatinine", "DiasABP", "FiO2"),
    *("GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "Mg", "MAP", "MechVent", "Na", "NIDiasABP", "NIMAP"),
    *("NISysABP", "PaCO2", "PaO2", "pH", "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI", "TroponinT"),
    *("Urine", "WBC"),
)
_PLACES = {name: place for place, name in enumerate(QUANTITIES)}


class Records(eqx.Module):
    """Values from 0 to 1, zero where nothing was observed."""

    values: Float[Array | np.ndarray, "record hour quantity"]
    mask: Bool[Array | np.ndarray, "record hour quantity"]

    def cast(self) -> "Records":
        """In JAX's present precision."""
        return Records(jnp.asarray(self.values, float), jnp.asarray(self.mask))


def records(folder: Path) -> tuple[Records, Records]:
    """Four fifths of the records to learn from and the rest to be tested on, always the same.

    Times are rounded to hours, the last observation of an hour counts, and each quantity is scaled by its smallest and
    largest value.

    Arguments:
        folder: holds one text file for each record, with the columns Time, Parameter and Value (`set-a` as published).

    Raises:
        InputError: there are no records, or one cannot be read.
    """
    paths = sorted(folder.glob("*.txt"))
    if len(paths) < 5:
        raise InputError(f"There are no records in {folder}; put the text files of PhysioNet's set-a there.")
    table = np.stack([_read(path) for path in paths])
    mask = ~np.isnan(table)
    low = np.min(table, axis=(0, 1), initial=np.inf, where=mask)
    high = np.max(table, axis=(0, 1), initial=-np.inf, where=mask)
    values = np.where(mask, (table - low) / np.where(high > low, high - low, 1.0), 0.0)
    order = np.random.default_rng(0).permutation(len(paths))
    cut = len(paths) * 4 // 5
    return Records(values[order[:cut]], mask[order[:cut]]), Records(values[order[cut:]], mask[order[cut:]])


def _read(path: Path) -> Float[np.ndarray, "hour quantity"]:
    table = np.full((HOURS, len(QUANTITIES)), np.nan)
    with told_in_one_sentence(path, "a PhysioNet record"), path.open(newline="") as file:
        for row in csv.DictReader(file):
            if (place := _PLACES.get(row["Parameter"])) is None:
                continue
            hours, minutes = row["Time"].split(":")
            value = float(row["Value"])
            # -1 stands for a value that is not known.
            if value >= 0:
                table[min(round(int(hours) + int(minutes) / 60), HOURS - 1), place] = value
    return table
