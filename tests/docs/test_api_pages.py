"""No public name is missing from its API page."""

import importlib
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "api"
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_functions_named_like_their_module_are_shown(page):
    """The documentation tool takes such a name for the module and leaves the function out: it needs a line of its own."""
    shown = DIRECTIVE.findall(page.read_text(encoding="utf-8"))
    package = importlib.import_module(shown[0])
    folder = Path(package.__file__).parent if hasattr(package, "__path__") else None
    hidden = [name for name in getattr(package, "__all__", []) if folder and (folder / f"{name}.py").exists()]
    missing = [name for name in hidden if f"{shown[0]}.{name}.{name}" not in shown]
    assert not missing
