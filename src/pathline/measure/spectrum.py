"""Whether two trajectories have the same power spectrum: the right climate, whatever the weather."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d


def power_spectrum_distance(
    one: Float[np.ndarray, "time dim"], other: Float[np.ndarray, "other dim"], *, smoothing: float = 20.0
) -> float:
    """Hellinger distance of the smoothed, normalised power spectra, `sqrt(1 - sum_w sqrt(p(w) q(w)))`, averaged over
    columns: 0 for equal spectra, 1 for spectra without a common frequency.

    Arguments:
        one, other: without gaps and at the same step; the longer is cut to the shorter.
        smoothing: standard deviation of the Gaussian that smooths each spectrum, in frequency bins; 0 does not smooth.

    Returns:
        The distance; NaN when a column is constant in one of them.

    Source: Mikhaeil, Monfared and Durstewitz, On the difficulty of learning chaotic dynamics with RNNs, 2022.
    """
    length = min(len(one), len(other))
    first, second = (_spectrum(values[:length], smoothing) for values in (one, other))
    overlap = np.sqrt(first * second).sum(axis=0)
    return float(np.mean(np.sqrt(np.maximum(1.0 - overlap, 0.0))))


def _spectrum(values: Float[np.ndarray, "time dim"], smoothing: float) -> Float[np.ndarray, "frequency dim"]:
    power = np.abs(np.fft.rfft(values - values.mean(axis=0), axis=0))[1:] ** 2
    if smoothing > 0:
        power = gaussian_filter1d(power, smoothing, axis=0, mode="nearest")
    with np.errstate(invalid="ignore"):
        return power / power.sum(axis=0)
