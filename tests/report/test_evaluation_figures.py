import math
import re

import equinox as eqx
import jax
import numpy as np
import pytest

from pathline.data import Series, builtin_series
from pathline.forecast import compare
from pathline.forecast.linear import Linear
from pathline.forecast.persistence import Persistence
from pathline.report import (
    calibration_figure,
    forecast_at,
    origins_figure,
    skill_figure,
    themed,
    write_forecast_report,
)
from pathline.report.evaluation_figures import last_complete
from pathline.report.forecast_report import about, comparison_table, expectation, forecast_table, forecast_verdict

METHODS = {"persistence": Persistence(), "linear": Linear(lags=4, ridge=1e-3)}


def gappy() -> Series:
    """Two columns with a gap, on uneven times."""
    rng = np.random.default_rng(1)
    times = np.sort(rng.choice(400, size=300, replace=False)).astype(float)
    values = np.stack([np.sin(times / 5), np.cos(times / 5)], axis=1) + 0.1 * rng.normal(size=(300, 2))
    values[100:110, 1] = np.nan
    return Series.from_arrays(times, values, names=("a <b>", "$c"), title="Gappy & <i>uneven</i>")


@pytest.fixture(scope="module", params=["sunspots", "gappy"])
def compared(request):
    series = gappy() if request.param == "gappy" else builtin_series(request.param)
    return series, compare(series, METHODS, key=jax.random.key(0), horizon=8)


def draw(block, theme="light", layout="wide"):
    with themed(theme, layout):
        figure = block.draw()
        figure.canvas.draw()
    return figure


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_axes_are_labelled(compared, layout):
    _, comparison = compared
    for block in (
        skill_figure(comparison.evaluations, best=comparison.best),
        calibration_figure(comparison.evaluation),
        origins_figure(comparison.evaluation),
    ):
        figure = draw(block, layout=layout)
        assert all(axes.get_ylabel() or axes.get_title(loc="left") for axes in figure.axes)
        assert figure.axes[-1].get_xlabel()
        assert block.caption


def test_skill_draws_the_errors_that_were_measured(compared):
    _, comparison = compared
    figure = draw(skill_figure(comparison.evaluations, best=comparison.best))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for method, evaluation in comparison.evaluations.items():
        error = evaluation.predictions - evaluation.truth
        expected = np.sqrt(np.nanmean(error**2, axis=(0, 2)))
        np.testing.assert_allclose(lines[method].get_ydata(), expected)
        np.testing.assert_allclose(lines[method].get_xdata(), np.arange(1, 9) * evaluation.series.step)
    assert lines["persistence"].get_linestyle() != "-" and lines["linear"].get_linestyle() == "-"


def test_a_diverging_method_does_not_flatten_the_others(compared):
    _, comparison = compared
    broken = eqx.tree_at(lambda e: e.predictions, comparison.evaluation, comparison.evaluation.predictions + 1e6)
    block = skill_figure(comparison.evaluations | {"next_generation_reservoir": broken}, best=comparison.best)
    persistence = comparison.evaluations["persistence"].rmse_by_horizon().max()
    assert draw(block).axes[0].get_ylim()[1] == pytest.approx(1.5 * persistence)
    assert "Beyond the axis: next generation reservoir." in block.caption


def test_calibration_draws_the_coverage_that_was_measured(compared):
    _, comparison = compared
    evaluation = comparison.evaluation
    overall, leads = draw(calibration_figure(evaluation)).axes
    seen = ~np.isnan(evaluation.truth)
    inside = (evaluation.lower <= evaluation.truth) & (evaluation.truth <= evaluation.upper)
    points = next(line for line in overall.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xdata(), [50, 80, 95])
    np.testing.assert_allclose(points.get_ydata(), [100 * part[seen].mean() for part in inside])
    curves = [line for line in leads.lines if len(line.get_xdata()) == 8]
    for curve, part in zip(curves, inside, strict=True):
        np.testing.assert_allclose(curve.get_ydata(), [100 * part[:, h][seen[:, h]].mean() for h in range(8)])


def test_held_out_forecasts_meet_what_came(compared):
    _, comparison = compared
    evaluation = comparison.evaluation
    forecast = last_complete(evaluation)
    assert forecast is not None
    # The newest of which all targets have come: its last target is the last row of the data.
    assert forecast.times[-1] == evaluation.series.times[-1]
    place = int(np.flatnonzero(evaluation.times[:, -1] == forecast.times[-1])[0])
    np.testing.assert_array_equal(forecast.mean, evaluation.predictions[place])
    np.testing.assert_array_equal(forecast_at(evaluation, place).upper, evaluation.upper[:, place])


def test_report_of_a_comparison(compared, tmp_path, read_page):
    series, comparison = compared
    forecast = comparison.forecaster.forecast(series, 8)
    path = write_forecast_report(tmp_path, series, forecast, comparison, command="pathline forecast x")
    page = read_page(path.read_text())
    assert [figure["id"] for figure in page.having("figure") if "id" in figure] == [
        "forecast",
        "skill",
        "calibration",
        "held-out",
    ]
    assert series.title in page.text and not page.having("i") and not page.having("b")
    assert forecast_verdict(comparison) in page.text.replace("\u00a0", " ")
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "forecast.png",
        "skill.png",
        "calibration.png",
        "held-out.png",
    }


def test_report_of_a_saved_model(tmp_path, read_page):
    series = builtin_series("lynx")
    forecast = Persistence().fit(series, horizon=3, key=jax.random.key(0)).forecast(series)
    page = read_page(write_forecast_report(tmp_path, series, forecast).read_text())
    assert "Expected of lynx trapped at 1937: 3396, and with 95\u00a0% probability between" in page.text
    assert expectation(series, forecast).endswith(".") and page.text.count("1937") >= 2


def test_verdict_tells_the_truth(compared):
    _, comparison = compared
    row = next(row for row in comparison.rows if row["method"] == "linear")
    covered = f"its 95 % intervals held {100 * row['coverage_0.95']:.0f} % of what came."
    better = f"on held-out data its error is {100 * row['skill']:.0f} % below that of persistence"
    assert forecast_verdict(comparison) == f"Forecast by linear: {better}, and {covered}"

    row["skill"], before = -0.25, row["skill"]
    assert "its error is 25 % above that of persistence" in forecast_verdict(comparison)
    row["skill"] = math.nan
    assert forecast_verdict(comparison) == f"Forecast by linear: on held-out data {covered}"
    row["skill"] = before


def test_table_shows_what_was_skipped():
    series = builtin_series("lynx")
    comparison = compare(series, METHODS | {"linear": Linear(lags=90)}, key=jax.random.key(0), horizon=4)
    table = comparison_table(comparison)
    assert [row[0] for row in table.rows] == ["persistence"] and table.highlight_row == 0
    assert "Skipped: linear (" in table.caption and table.caption.endswith(").")


def test_numbers_keep_the_width_of_the_interval():
    series = builtin_series("co2")
    forecast = Persistence().fit(series, horizon=5, key=jax.random.key(0)).forecast(series)
    table = forecast_table(series, forecast)
    assert table.columns == ("Time", "Expected", "95 % from", "to") and len(table.rows) == 5
    assert table.rows[0][0] == "2002-01-05"
    assert all(re.fullmatch(r"\d{3}\.\d", str(cell)) for row in table.rows for cell in row[1:])


def test_about():
    assert about(builtin_series("sunspots")) == "309 observations of sunspot number, 1700 to 2008, without gaps."
    assert about(gappy()) == "300 rows of 2 columns, 1 to 399, 10 of 600 values missing."
