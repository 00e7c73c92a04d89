from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from pathline.report import PALETTES, themed

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a linear RGB colour, white D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(matrix @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089]), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2."""
    bright, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (a, b)), reverse=True)
    return bright / dark


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", PALETTES)
def test_series_stay_apart_for_colour_blind_readers(theme, sight):
    seen = [lab(SIGHT[sight] @ linear(colour)) for colour in PALETTES[theme].cycle]
    # 2.3 is just noticeable side by side; lines on a chart need several times that.
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15


@pytest.mark.parametrize("theme", PALETTES)
def test_colours_stand_out_from_the_surface(theme):
    palette = PALETTES[theme]
    assert min(contrast(colour, palette.surface) for colour in palette.cycle) >= 3
    for surface in (palette.surface, palette.raised):
        text = (palette.ink, palette.muted, palette.accent, palette.good, palette.bad)
        assert min(contrast(colour, surface) for colour in text) >= 4.5


def test_settings_end_with_the_block():
    before = mpl.rcParams["text.color"]
    with themed("dark", "narrow"):
        assert mpl.rcParams["text.color"] == PALETTES["dark"].ink
        narrow = mpl.rcParams["figure.figsize"][0]
    with themed("light", "wide"):
        assert mpl.rcParams["figure.figsize"][0] > narrow
    assert mpl.rcParams["text.color"] == before
