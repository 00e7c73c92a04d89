"""The look of every figure and page, in one place: colours, type and Matplotlib's settings, in light and in dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from cycler import cycler

Theme = Literal["light", "dark"]
"""What a figure is drawn for: a light page (and paper) or a dark one."""

Layout = Literal["wide", "narrow"]
"""What a figure is drawn for: a column of text, or the screen of a phone, where the same type needs fewer inches."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as `#rrggbb`.

    Arguments:
        surface: behind figures and text.
        raised: behind what stands out from the surface: the verdict, table heads, code.
        ink: text and data that were measured.
        muted: axes, captions, what is there for reference.
        rule: grid lines and borders.
        accent: links.
        good, bad: a claim that holds and one that fails; always beside a word or a sign, never alone.
        cycle: data series in order. Any two stay apart under protanopia, deuteranopia and tritanopia (the tests
            simulate all three) and each has a contrast of at least 3 to the surface.
    """

    surface: str
    raised: str
    ink: str
    muted: str
    rule: str
    accent: str
    good: str
    bad: str
    cycle: tuple[str, ...]


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        surface="#ffffff",
        raised="#f4f6f8",
        ink="#17212b",
        muted="#56626e",
        rule="#dfe4e9",
        accent="#1f5bbf",
        good="#0f6e52",
        bad="#b03a0e",
        cycle=("#1f5bbf", "#dd720f", "#127a5c", "#702c80", "#8f4a08", "#2b98ea"),
    ),
    "dark": Palette(
        surface="#14181d",
        raised="#1e242b",
        ink="#e7ebef",
        muted="#a3aeb9",
        rule="#333c45",
        accent="#86b8f5",
        good="#4fd6a2",
        bad="#ff9a66",
        cycle=("#67a3ea", "#e86f35", "#3fdc9a", "#9c6cf2", "#f3e57a", "#c8f0ff"),
    ),
}
"""The two themes."""

# Inches. A phone shows 4.2 inches of figure at nearly their true size; a page column shows 7.6.
_SIZES: dict[Layout, tuple[float, float]] = {"wide": (7.6, 3.8), "narrow": (4.2, 3.4)}


@contextmanager
def themed(theme: Theme = "light", layout: Layout = "wide") -> Iterator[None]:
    """Matplotlib's settings for one theme and layout, undone at the end of the `with` block.

    A drawing function asks for no theme: it takes `C0`, `C1`, ... for its data, `rcParams["text.color"]` for ink,
    `rcParams["xtick.color"]` for what is muted, and its width from `rcParams["figure.figsize"]`.
    """
    with mpl.rc_context(settings(theme, layout)):
        yield


def settings(theme: Theme, layout: Layout = "wide") -> dict[Any, Any]:
    """The `rcParams` of a theme and layout."""
    palette = PALETTES[theme]
    return {
        "figure.figsize": _SIZES[layout],
        "figure.facecolor": palette.surface,
        "figure.constrained_layout.use": True,
        "savefig.facecolor": palette.surface,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.labelsize": 9.5,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "text.color": palette.ink,
        "axes.facecolor": palette.surface,
        "axes.edgecolor": palette.muted,
        "axes.labelcolor": palette.ink,
        "axes.titlecolor": palette.ink,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "axes.prop_cycle": cycler(color=palette.cycle),
        "grid.color": palette.rule,
        "grid.linewidth": 0.6,
        "xtick.color": palette.muted,
        "ytick.color": palette.muted,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round",
        "date.converter": "concise",
        # Letters as outlines look the same on every machine; a fixed salt makes the same figure the same bytes.
        "svg.fonttype": "path",
        "svg.hashsalt": "pathline",
    }


def style_variables(theme: Theme) -> str:
    """The palette as CSS custom properties, for the pages."""
    palette = PALETTES[theme]
    names = ("surface", "raised", "ink", "muted", "rule", "accent", "good", "bad")
    return " ".join(f"--{name}: {getattr(palette, name)};" for name in names)
