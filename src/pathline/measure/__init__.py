"""Metrics that more than one verb uses. NumPy in, plain numbers out; what was not observed (NaN) does not count."""

from pathline.measure.crps import crps, crps_by_entry
from pathline.measure.energy_distance import energy_distance
from pathline.measure.frechet import PrincipalComponents, frechet_distance, frechet_distance_of_moments
from pathline.measure.intervals import interval_coverage, interval_score
from pathline.measure.manifold_coverage import nearest_distances, precision_recall
from pathline.measure.maximum_mean_discrepancy import maximum_mean_discrepancy
from pathline.measure.point_error import mase, rmse, smape
from pathline.measure.sliced_wasserstein import sliced_wasserstein
from pathline.measure.spectrum import power_spectrum_distance
from pathline.measure.valid_time import valid_prediction_time
from pathline.measure.wasserstein import wasserstein2

__all__ = [
    "PrincipalComponents",
    "crps",
    "crps_by_entry",
    "energy_distance",
    "frechet_distance",
    "frechet_distance_of_moments",
    "interval_coverage",
    "interval_score",
    "mase",
    "maximum_mean_discrepancy",
    "nearest_distances",
    "power_spectrum_distance",
    "precision_recall",
    "rmse",
    "sliced_wasserstein",
    "smape",
    "valid_prediction_time",
    "wasserstein2",
]
