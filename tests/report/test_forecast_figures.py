import re
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date

from pathline.data import Series, builtin_series
from pathline.forecast import Forecast
from pathline.report import forecast_figure, themed
from pathline.report.panels import plain, tint

NORMAL = {0.5: 0.6745, 0.8: 1.2816, 0.95: 1.96}


def continued(series: Series, horizon: int, *, until: int | None = None, spread: float = 0.3) -> Forecast:
    """The last stretch repeated, with intervals that widen: what it says does not matter here."""
    history = series[:until]
    mean = np.resize(history.filled()[-11:], (horizon, series.dim))
    scale = spread * np.sqrt(np.arange(1.0, horizon + 1))[:, None] * np.nanstd(series.values, axis=0)
    width = np.stack([NORMAL[level] * scale for level in NORMAL])
    return Forecast(
        times=history.future_times(horizon),
        mean=mean,
        lower=mean - width,
        upper=mean + width,
        ensemble=mean[None],
        levels=tuple(NORMAL),
        names=series.names,
        title=series.title,
        time_unit=series.time_unit,
        origin=series.origin,
    )


def walk(columns: int, rows: int = 200, names: tuple[str, ...] | None = None) -> Series:
    values = np.cumsum(np.random.default_rng(0).normal(size=(rows, columns)), axis=0)
    values[40:60] = np.nan
    values[150::2, 0] = np.nan
    return Series.from_arrays(None, values, names=names, title="Walk")


def draw(block, theme="light", layout="wide"):
    with themed(theme, layout), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = block.draw()
        figure.canvas.draw()
    return figure


@pytest.mark.parametrize("layout", ["wide", "narrow"])
@pytest.mark.parametrize("name", ["sunspots", "co2", "elnino", "gait"])
def test_every_panel_is_named_and_its_axes_are_labelled(name, layout):
    series = builtin_series(name)
    block = forecast_figure(series, continued(series, 20), held_out=continued(series, 20, until=len(series) - 20))
    figure = draw(block, layout=layout)
    assert len(figure.axes) == min(series.dim, 6)
    for axes, column in zip(figure.axes, series.names, strict=False):
        assert column in (axes.get_ylabel(), axes.get_title(loc="left"))
    assert figure.axes[-1].get_xlabel() == {"sunspots": "year", "gait": "time"}.get(name, "date")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "data",
        "forecast",
        "50, 80 and 95 % intervals",
    ]


def test_shows_the_data_and_the_intervals():
    series = builtin_series("sunspots")
    forecast = continued(series, 15)
    axes = draw(forecast_figure(series, forecast)).axes[0]
    with themed():
        lines = {to_hex(line.get_color()): line for line in axes.lines if line.get_linestyle() == "-"}
        ink, blue = to_hex("#17212b"), to_hex("C0")
        shades = [to_hex(tint("C0", weight)) for weight in np.linspace(0.2, 0.55, 3)]
    np.testing.assert_allclose(lines[ink].get_ydata()[-40:], series.values[-40:, 0])
    assert lines[ink].get_xdata()[-1] == 2008
    np.testing.assert_allclose(lines[blue].get_ydata(), forecast.mean[:, 0])
    np.testing.assert_allclose(lines[blue].get_xdata(), np.arange(2009, 2024))
    bands = {to_hex(band.get_facecolor()[0]): band.get_paths()[0].vertices[:, 1] for band in axes.collections}
    # The palest band is the widest.
    for shade, level in zip(shades, [2, 1, 0], strict=True):
        assert bands[shade].max() == pytest.approx(forecast.upper[level].max())
        assert bands[shade].min() == pytest.approx(forecast.lower[level].min())


def test_calendar_axis():
    series = builtin_series("co2")
    axes = draw(forecast_figure(series, continued(series, 52))).axes[0]
    low, high = (num2date(limit).year for limit in axes.get_xlim())
    assert 1998 <= low < high == 2003


def test_gaps_stay_gaps_and_lone_observations_are_seen():
    series = walk(1)
    axes = draw(forecast_figure(series, continued(series, 30))).axes[0]
    line, dots = axes.lines[0], axes.lines[1]
    assert np.isnan(line.get_ydata()).sum() == (~series.mask[-len(line.get_ydata()) :]).sum() > 0
    assert set(np.arange(151, 200, 2)) <= set(dots.get_xdata())


def test_many_columns_are_capped_and_the_caption_says_so():
    series = walk(9)
    block = forecast_figure(series, continued(series, 12))
    assert len(draw(block).axes) == 6
    assert "The first 6 of 9 columns." in block.caption
    assert "next 12 steps" in block.caption


def test_an_exploding_interval_does_not_flatten_the_data():
    series = walk(1)
    block = forecast_figure(series, continued(series, 20, spread=1e6))
    low, high = draw(block).axes[0].get_ylim()
    span = np.nanmax(series.values) - np.nanmin(series.values)
    assert high - low < 5 * span
    assert "The intervals reach beyond the axis." in block.caption
    assert "beyond" not in forecast_figure(series, continued(series, 20, spread=0.05)).caption


@pytest.mark.parametrize("horizon", [1, 2])
def test_short_horizons_are_visible(horizon):
    series = builtin_series("lynx")
    axes = draw(forecast_figure(series, continued(series, horizon))).axes[0]
    assert axes.get_xlim()[1] >= 1934 + horizon
    assert len(axes.collections) == 3


def test_constant_and_unobserved_columns():
    constant = Series.from_arrays(None, np.ones(50))
    axes = draw(forecast_figure(constant, continued(constant, 5))).axes[0]
    assert axes.get_ylim()[0] < 1 < axes.get_ylim()[1]


def test_names_are_text_not_mathematics():
    names = ("$x^2$", "_private", "two\nlines", "$\\frac{", "a" * 80, "日本")
    series = walk(6, names=names)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        with themed():
            figure = forecast_figure(series, continued(series, 9)).draw()
            figure.canvas.draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == [r"\$x^2\$", "_private", "two lines", r"\$\frac{"]
    assert len(titles[4]) == 32 and titles[4].endswith("…")


@pytest.mark.parametrize("text", ["$", "a$b$c", "\x00\x1b[31m", "\u202edrowkcab", " " * 50])
def test_plain_text_has_one_printable_line(text):
    shown = plain(text)
    assert all(letter.isprintable() for letter in shown) and len(re.sub(r"\\\$", "$", shown)) <= 32
    assert not re.search(r"(?<!\\)\$", shown)
