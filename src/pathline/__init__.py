"""Pathline: learned dynamics on JAX.

Every method learns where a state goes next. The verbs are the subpackages: `pathline.forecast` and, as the library
grows, `solve`, `emulate`, `generate`, `control`, `classify`, `detect` and `analyse`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names by the module that defines them, imported on first use so that `import pathline` stays light.
_LAZY = {"load": "pathline.train", "read_series": "pathline.data", "InputError": "pathline.errors"}
_SUBPACKAGES = (
    "data",
    "forecast",
    "generate",
    "integrate",
    "measure",
    "nets",
    "papers",
    "report",
    "systems",
    "train",
)

__all__ = ["InputError", "load", "read_series"]

if TYPE_CHECKING:
    from pathline.data import read_series
    from pathline.errors import InputError
    from pathline.train import load


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _SUBPACKAGES:
        return import_module(f"pathline.{name}")
    raise AttributeError(f"module 'pathline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_SUBPACKAGES])
