"""Forecasting: what a measured system does next, and how sure one can be.

Every method has one interface: a frozen dataclass of hyperparameters whose `fit` gives a `Forecaster`, whose
`forecast` gives point forecasts with calibrated intervals. `compare` fits them all and ranks them.
"""

from pathline.forecast.compare import Comparison, compare
from pathline.forecast.conformal import LEVELS, conformal_offsets
from pathline.forecast.echo_state import EchoState
from pathline.forecast.forecaster import (
    Forecast,
    Forecaster,
    ForecastMethod,
    PointForecaster,
    default_horizon,
)
from pathline.forecast.linear import Linear
from pathline.forecast.neural_ode import NeuralODE
from pathline.forecast.next_generation_reservoir import NextGenerationReservoir
from pathline.forecast.persistence import Persistence
from pathline.forecast.rolling_origin import Evaluation, evaluate, recalibrated
from pathline.forecast.seasonal_naive import SeasonalNaive

METHODS: dict[str, type[ForecastMethod]] = {
    method.name: method
    for method in (Persistence, SeasonalNaive, Linear, NextGenerationReservoir, EchoState, NeuralODE)
}
"""Every method by name, the cheap first."""

__all__ = [
    "LEVELS",
    "METHODS",
    "Comparison",
    "EchoState",
    "Evaluation",
    "Forecast",
    "ForecastMethod",
    "Forecaster",
    "Linear",
    "NeuralODE",
    "NextGenerationReservoir",
    "Persistence",
    "PointForecaster",
    "SeasonalNaive",
    "compare",
    "conformal_offsets",
    "default_horizon",
    "default_methods",
    "evaluate",
    "recalibrated",
]


def default_methods() -> dict[str, ForecastMethod]:
    """Every method with its default hyperparameters."""
    return {name: method() for name, method in METHODS.items()}
