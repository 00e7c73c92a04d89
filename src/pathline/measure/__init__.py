"""Metrics that more than one verb uses. NumPy in, plain numbers out; what was not observed (NaN) does not count."""

from pathline.measure.crps import crps, crps_by_entry
from pathline.measure.intervals import interval_coverage, interval_score
from pathline.measure.point_error import mase, rmse, smape
from pathline.measure.spectrum import power_spectrum_distance
from pathline.measure.valid_time import valid_prediction_time

__all__ = [
    "crps",
    "crps_by_entry",
    "interval_coverage",
    "interval_score",
    "mase",
    "power_spectrum_distance",
    "rmse",
    "smape",
    "valid_prediction_time",
]
