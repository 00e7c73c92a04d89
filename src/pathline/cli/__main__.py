"""`python -m pathline.cli` is `pathline`."""

from pathline.cli import entry

entry()
