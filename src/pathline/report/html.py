"""Reports as one self-contained HTML file: no script, no link to load, every text of the user escaped."""

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import get_args

from pathline.atomic import write_text
from pathline.report.blocks import Badge, Block, Cell, Figure, Table, Text
from pathline.report.drawing import data_uri, draw_bytes, write_drawings
from pathline.report.theme import Layout, Theme, style_variables

# A drawing of very many points is smaller as pixels than as vectors.
_LARGEST_SVG = 500_000
# A cell longer than this wraps; a shorter one stays on its line.
_SHORT = 28


def write_report(
    run: Path, *, title: str, subtitle: str, verdict: str, blocks: Sequence[Block], command: str = ""
) -> Path:
    """Write `run/report.html` and `run/figures/<name>.png`, `.svg` and `-dark.svg`.

    The page holds its style and its figures, follows the reader's light or dark setting, reads on a phone and prints.

    Arguments:
        run: the run directory; created when absent.
        title, subtitle: the head of the page.
        verdict: the answer, in one sentence; it stands before everything else.
        blocks: what follows, in order; begin with the figure that shows the verdict.
        command: what to type to get this report again; left out when empty.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: the directory cannot be written.
    """
    # Everything is drawn before anything is written: a drawing that fails leaves the old report whole.
    drawings = [(block, _drawings(block)) for block in blocks if isinstance(block, Figure)]
    figures = iter(drawings)
    head = [f"<h1>{_text(title)}</h1>", f'<p class="subtitle">{_sentence(subtitle)}</p>' if subtitle else ""]
    body = ["<header>", *head, f'<p class="verdict">{_sentence(verdict)}</p>', "</header>"]
    body += [_figure(*next(figures)) if isinstance(block, Figure) else block_html(block) for block in blocks]
    if command:
        body += ["<footer>", "<p>This report again:</p>", f"<pre><code>{_text(command)}</code></pre>", "</footer>"]
    for block, drawn in drawings:
        light, dark = drawn["light", "wide"], drawn["dark", "wide"]
        write_drawings(run / "figures", block.name, draw_bytes(block, "png"), light, dark)
    path = run / "report.html"
    write_text(path, page_html(title, body))
    return path


def page_html(title: str, body: Iterable[str]) -> str:
    """A whole page around `body`, which is HTML already; `title` is text."""
    style = files("pathline.report").joinpath("style.css").read_text()
    lines = [
        "<!doctype html>",
        '<html lang="en-GB">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        # Whatever a file's author put into a column name, the browser runs no script and loads nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{_text(title)}</title>",
        "<style>",
        f":root {{ color-scheme: light dark; {style_variables('light')} }}",
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {style_variables('dark')} }} }}",
        style,
        "</style>",
        "</head>",
        "<body>",
        "<main>",
        *(line for line in body if line),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def block_html(block: Table | Text) -> str:
    """A table or prose as HTML."""
    return _table(block) if isinstance(block, Table) else _prose(block)


def _prose(block: Text) -> str:
    heading = f"<h2>{_text(block.heading)}</h2>\n" if block.heading else ""
    paragraphs = re.split(r"\n\s*\n", block.text.strip())
    return heading + "\n".join(f"<p>{_sentence(paragraph)}</p>" for paragraph in paragraphs if paragraph)


def _drawings(block: Figure) -> dict[tuple[Theme, Layout], bytes]:
    return {
        (theme, layout): draw_bytes(block, "svg", theme, layout)
        for theme in get_args(Theme)
        for layout in get_args(Layout)
    }


def _figure(block: Figure, drawings: dict[tuple[Theme, Layout], bytes]) -> str:
    # Only one of the four is displayed, so a screen reader meets the caption once.
    images = "\n".join(
        f'<img class="{theme} {layout}" src="{_embedded(block, theme, layout, drawn)}" alt="{_text(block.caption)}">'
        for (theme, layout), drawn in drawings.items()
    )
    return f'<figure id="{block.name}">\n{images}\n<figcaption>{_sentence(block.caption)}</figcaption>\n</figure>'


def _embedded(block: Figure, theme: Theme, layout: Layout, drawn: bytes) -> str:
    if len(drawn) <= _LARGEST_SVG:
        return data_uri(drawn)
    return data_uri(draw_bytes(block, "png", theme, layout, dpi=160), "png")


def _table(block: Table) -> str:
    cells = [[row[column] for row in block.rows] for column in range(len(block.columns))]
    numeric = [
        any(map(_is_numeric, column))
        and all(map(_is_numeric_or_absent, column))
        and (place > 0 or _is_number(column[0]))
        for place, column in enumerate(cells)
    ]
    heads = "".join(
        f'<th scope="col"{" class=number" if number else ""}>{_text(name)}</th>'
        for name, number in zip(block.columns, numeric, strict=True)
    )
    rows = []
    for index, row in enumerate(block.rows):
        best = ' class="best"' if index == block.highlight_row else ""
        line = "".join(_cell(cell, number) for cell, number in zip(row, numeric, strict=True))
        rows.append(f"<tr{best}>{line}</tr>")
    # A region that scrolls must be reachable by keyboard and have a name; the caption stays when it scrolls.
    return "\n".join(
        [
            "<figure>",
            f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(block.caption)}">',
            "<table>",
            f"<thead><tr>{heads}</tr></thead>",
            "<tbody>",
            *rows,
            "</tbody>",
            "</table>",
            "</div>",
            f"<figcaption>{_sentence(block.caption)}</figcaption>",
            "</figure>",
        ]
    )


def _cell(cell: Cell, number: bool) -> str:
    if isinstance(cell, Badge):
        kind, sign = ("good", "✓") if cell.good else ("bad", "✗")
        return f'<td class="short"><span class="badge {kind}">{sign} {_text(cell.text)}</span></td>'
    if number:
        shown = _sentence(cell) if isinstance(cell, str) else format_number(cell, aligned=True)
        return f'<td class="number">{shown}</td>'
    shown = format_number(cell) if cell is None or _is_number(cell) else str(cell)
    return f'<td class="{"prose" if len(shown) > _SHORT else "short"}">{_text(shown)}</td>'


def format_number(value: Cell, *, aligned: bool = False) -> str:
    """Three significant digits; a dash for `None` and NaN; a true minus sign; thousands left whole.

    Arguments:
        value: a number.
        aligned: keep trailing zeros, as a column of numbers wants: `14.0` below `12.3`.
    """
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int) or 1000 <= abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    shown = f"{value:#.3g}".rstrip(".") if aligned else f"{value:.3g}"
    return shown.replace("-", "−").replace("inf", "∞")


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float)


def _is_numeric(cell: Cell) -> bool:
    """Whether a cell lines up with numbers: one, or one already written, such as a percentage."""
    return _is_number(cell) or (isinstance(cell, str) and bool(re.fullmatch(r"[−-]?[\d.]+( ?%)?", cell)))


def _is_numeric_or_absent(cell: Cell) -> bool:
    return _is_numeric(cell) or cell is None or cell == "–"


def _text(text: str) -> str:
    """Escaped for HTML, in attributes too; control characters, which HTML forbids, become visible."""
    visible = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)
    return escape(visible, quote=True)


def _sentence(text: str) -> str:
    """Escaped prose, in which a number and its percent sign stay on one line."""
    return _text(re.sub(r"(?<=\d) %", "\u00a0%", text))
