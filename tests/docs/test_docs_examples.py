"""Every Python example of the documentation runs, page by page, from top to bottom, as a reader would type it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "\n```python\n" in path.read_text())
# What is shown to be read: how a docstring looks.
NOT_RUN = {"contributing.md"}


def blocks(page: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the line at which it starts."""
    text = (DOCS / page).read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n"), match[1]) for match in found]


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by the title of the block."""
    found = re.finditer(r'^```\w+ title="([\w.-]+)"\n(.*?)^```$', (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return {match[1]: match[2] for match in found}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOT_RUN])
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in files(page).items():
        Path(name).write_text(content)
    names: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks(page):
        # Padding makes a traceback name the line of the page.
        exec(compile("\n" * line + code, str(DOCS / page), "exec"), names)
