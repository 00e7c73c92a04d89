import base64
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure as Drawing

from pathline.errors import InputError
from pathline.report import PALETTES, Badge, Figure, Table, Text, draw_bytes, write_figures, write_report
from pathline.report.html import format_number

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


def line() -> Drawing:
    figure = Drawing(figsize=rcParams["figure.figsize"])
    axes = figure.subplots()
    axes.plot(np.arange(5.0), np.arange(5.0) ** 2)
    axes.set(xlabel="x", ylabel="y")
    return figure


def write(run: Path, text: str = "word", draw=line) -> str:
    table = Table([text, "number"], [[text, 1.5], [Badge(text, good=False), -2]], caption=text, highlight_row=0)
    blocks = [Figure("first", text, draw), table, Text(f"{text}\n\nsecond", heading=text)]
    path = write_report(
        run, title=text, subtitle=text, verdict=f"Verdict {text}", blocks=blocks, command=f"pathline {text}"
    )
    return path.read_text()


def test_is_well_formed_and_ordered(tmp_path, read_page):
    text = write(tmp_path)
    page = read_page(text)
    names = [name for name, _ in page.tags]
    assert [names.count(tag) for tag in ("h1", "title", "main", "table", "pre", "footer")] == [1] * 6
    assert page.having("html") == [{"lang": "en-GB"}]
    assert page.having("meta")[1]["content"] == "width=device-width, initial-scale=1"
    assert text.index("Verdict word") < text.index("<figure") < text.index("<table")
    assert page.text.count("second") == 1
    assert "−2" in page.text


def test_text_of_the_user_is_never_markup(tmp_path, read_page):
    page = read_page(write(tmp_path, EVIL))
    names = {name for name, _ in page.tags}
    assert names.isdisjoint({"script", "iframe", "object", "link"})
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert all(str(image["src"]).startswith("data:image/") for image in page.having("img"))
    # Everywhere it was put, it reads as it was written.
    assert page.text.count(EVIL) == 12
    assert page.having("img")[0]["alt"] == EVIL


def test_control_characters_become_visible(tmp_path, read_page):
    page = read_page(write(tmp_path, "a\x00b\x1b[31m\ud800c"))
    assert "a\ufffdb\ufffd[31m\ufffdc" in page.text


def test_loads_nothing_and_forbids_scripts(tmp_path, read_page):
    text = write(tmp_path)
    page = read_page(text)
    policy = next(meta for meta in page.having("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    for _, attributes in page.tags:
        for key in ("src", "srcset", "href", "data", "poster"):
            assert str(attributes.get(key, "data:")).startswith("data:")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_every_figure_is_drawn_for_both_themes_and_widths(tmp_path, read_page):
    page = read_page(write(tmp_path))
    seen = {}
    for image in page.having("img"):
        drawn = base64.b64decode(str(image["src"]).split(",", 1)[1]).decode()
        theme, _layout = str(image["class"]).split()
        assert PALETTES[theme].surface in drawn and PALETTES[theme].cycle[0] in drawn
        width = re.search(r'width="([\d.]+)pt"', drawn)
        assert width
        seen[image["class"]] = float(width[1])
    assert set(seen) == {"light wide", "light narrow", "dark wide", "dark narrow"}
    assert seen["dark narrow"] < 0.6 * seen["dark wide"]


def test_one_drawing_is_shown_at_a_time(tmp_path):
    """The rules of the style sheet, applied by hand for every screen and for paper."""
    text = write(tmp_path)
    style = re.sub(r"/\*.*?\*/", "", text[text.index("<style>") : text.index("</style>")], flags=re.DOTALL)
    rules = []
    for condition, body in [("", style), *re.findall(r"@media ([^{]+)\{((?:[^{}]*\{[^{}]*\})*)", style)]:
        plain = re.sub(r"@media [^{]+\{(?:[^{}]*\{[^{}]*\}\s*)*\}", "", body) if not condition else body
        for selectors, content in re.findall(r"([^{}]+)\{([^{}]*)\}", plain):
            if display := re.search(r"display: (\w+)", content):
                rules += [(condition, selector.strip(), display[1]) for selector in selectors.split(",")]

    def shown(name: str, dark: bool, phone: bool, paper: bool) -> bool:
        classes, best = set(name.split()), (0, "block")
        for condition, selector, display in rules:
            if ("screen" in condition and paper) or ("dark" in condition and not dark) or condition.strip() == "print":
                continue
            if "max-width" in condition and not phone:
                continue
            weight = 0.5 if selector == "figure img" else selector.count(".") if selector.startswith("img.") else 0
            matches = selector == "figure img" or (weight and set(selector.split(".")[1:]) <= classes)
            if matches and weight >= best[0]:
                best = (weight, display)
        return best[1] == "block"

    names = [f"{theme} {layout}" for theme in ("light", "dark") for layout in ("wide", "narrow")]
    for dark in (False, True):
        for phone in (False, True):
            expected = f"{'dark' if dark else 'light'} {'narrow' if phone else 'wide'}"
            assert [name for name in names if shown(name, dark, phone, paper=False)] == [expected]
            assert [name for name in names if shown(name, dark, phone, paper=True)] == ["light wide"]
        assert shown("dark any", dark, True, paper=False) == dark
        assert shown("light any", dark, True, paper=False) != dark


def test_same_inputs_same_bytes(tmp_path):
    assert write(tmp_path / "a") == write(tmp_path / "b")
    for name in ("first.png", "first.svg", "first-dark.svg"):
        a, b = ((tmp_path / run / "figures" / name).read_bytes() for run in "ab")
        assert a == b


def test_a_failed_drawing_leaves_the_old_report(tmp_path):
    before = write(tmp_path)

    def broken() -> Drawing:
        raise RuntimeError("cannot draw")

    with pytest.raises(RuntimeError, match="cannot draw"):
        write(tmp_path, draw=broken)
    assert (tmp_path / "report.html").read_text() == before
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "first-dark.svg",
        "first.png",
        "first.svg",
        "report.html",
    ]


def test_files_are_what_their_names_say(tmp_path):
    png, svg, dark = write_figures(tmp_path, [Figure("a-1", "caption", line)])
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().startswith("<?xml") and "</svg>" in dark.read_text()


def test_a_crowded_figure_is_embedded_as_pixels(tmp_path, read_page):
    def crowd() -> Drawing:
        figure = Drawing(figsize=(3, 2))
        x, y = np.random.default_rng(0).random((2, 7_000))
        figure.subplots().scatter(x, y, s=np.linspace(1, 2, 7_000))
        return figure

    path = write_report(tmp_path, title="t", subtitle="", verdict="v", blocks=[Figure("crowd", "c", crowd)])
    assert {str(image["src"])[:15] for image in read_page(path.read_text()).having("img")} == {"data:image/png;"}


def test_blocks_refuse_what_cannot_be_shown(tmp_path):
    for name in ("../evil", "A b", "", "x/y", "-"):
        with pytest.raises(ValueError, match="not lower-case words"):
            Figure(name, "", line)
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        Table(["a", "b"], [["1", "2"], ["3"]], "")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        write_report(tmp_path / "file", title="t", subtitle="", verdict="v", blocks=[])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.123"),
        (-0.00012345, "−0.000123"),
        (1234.56, "1235"),
        (7, "7"),
        (12_345, "12345"),
        (3.2e9, "3.2e+09"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (None, "–"),
    ],
)
def test_numbers(value, shown):
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(14.0, "14.0"), (0.94, "0.940"), (100.0, "100"), (-0.0, "−0.00"), (7, "7")]
)
def test_numbers_of_a_column(value, shown):
    assert format_number(value, aligned=True) == shown


def test_percent_sign_stays_with_its_number(tmp_path):
    text = write(tmp_path, "the 95 % interval, 100 % %")
    assert "the 95\u00a0% interval, 100\u00a0% %" in text
    assert "pathline the 95 % interval" in text


def test_drawing_uses_the_theme():
    figure = Figure("line", "a line", line)
    assert draw_bytes(figure, "svg", "dark") != draw_bytes(figure, "svg", "light")
