"""From a figure block to files and bytes: drawn for both themes and layouts, the same bytes every time."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pathline.atomic import write_bytes
from pathline.report.blocks import Figure
from pathline.report.theme import Layout, Theme, themed

_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def draw_bytes(
    figure: Figure, kind: Literal["svg", "png"], theme: Theme = "light", layout: Layout = "wide", *, dpi: int = 200
) -> bytes:
    """Draw a figure.

    Arguments:
        figure: the block.
        kind: `"svg"` or `"png"`.
        theme, layout: what it is drawn for.
        dpi: dots per inch of a PNG.

    Returns:
        The file's content; equal for equal inputs.
    """
    content = io.BytesIO()
    with themed(theme, layout):
        drawn = figure.draw()
        drawn.savefig(content, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return content.getvalue()


def write_figures(folder: Path, figures: Sequence[Figure]) -> list[Path]:
    """Write each figure as `<name>.png`, `<name>.svg` and, for dark pages, `<name>-dark.svg`.

    Arguments:
        folder: created when absent.
        figures: the blocks; their names differ.

    Returns:
        The files.
    """
    written = []
    for figure in figures:
        files = {
            f"{figure.name}.png": draw_bytes(figure, "png"),
            f"{figure.name}.svg": draw_bytes(figure, "svg"),
            f"{figure.name}-dark.svg": draw_bytes(figure, "svg", "dark"),
        }
        for name, content in files.items():
            write_bytes(folder / name, content)
            written.append(folder / name)
    return written


def data_uri(content: bytes, kind: Literal["svg", "png"] = "svg") -> str:
    """A picture as a link that carries it."""
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
