"""From a figure block to files and bytes: drawn for both themes and layouts, the same bytes every time."""

import base64
import io
import warnings
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
    with themed(theme, layout), warnings.catch_warnings():
        # A column may be named in a script that the font lacks: its letters become boxes, the caption has them right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
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
        written += write_drawings(
            folder,
            figure.name,
            draw_bytes(figure, "png"),
            draw_bytes(figure, "svg"),
            draw_bytes(figure, "svg", "dark"),
        )
    return written


def write_drawings(folder: Path, name: str, png: bytes, light: bytes, dark: bytes) -> list[Path]:
    """Write a figure that is drawn already: `<name>.png`, `<name>.svg` and `<name>-dark.svg`."""
    files = {folder / f"{name}.png": png, folder / f"{name}.svg": light, folder / f"{name}-dark.svg": dark}
    for path, content in files.items():
        write_bytes(path, content)
    return list(files)


def data_uri(content: bytes, kind: Literal["svg", "png"] = "svg") -> str:
    """A picture as a link that carries it."""
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
