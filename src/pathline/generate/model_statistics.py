"""Empirical model statistics: three curves, from samples and Jacobian-vector products, that tell a sampler what to expand."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.paths import AffinePath, Time
from pathline.generate.paths.base import rates
from pathline.generate.predictions import schedule
from pathline.generate.samplers.exponential import check_from_noise
from pathline.generate.samplers.grids import UniformLogSNR


class ModelStatistics(eqx.Module):
    """Curves over `lambda = log(b/a)`, one number for each entry of the state; the symbols are the paper's.

    Between the points the curves are linear. It holds arrays only and is saved by `pathline.train.save_model`.

    Arguments:
        half_log_snr: `lambda`, rising.
        l: the share of the state in the noise prediction.
        s, b: slope and intercept of the regression of `f'` on `f`.

    Raises:
        InputError: the levels do not rise, or a curve has another number of points.
    """

    half_log_snr: Float[np.ndarray, " point"]
    l: Float[np.ndarray, "point *shape"]
    s: Float[np.ndarray, "point *shape"]
    b: Float[np.ndarray, "point *shape"]

    def __check_init__(self):
        points = len(self.half_log_snr)
        if points < 2 or (np.diff(self.half_log_snr) <= 0).any() or {len(self.l), len(self.s), len(self.b)} != {points}:
            raise InputError(
                f"Statistics need two points at least, with rising half_log_snr, and as many of each curve; there are {points} "
                f"levels and curves of {len(self.l)}, {len(self.s)} and {len(self.b)} points."
            )

    def at(
        self, half_log_snr: Float[np.ndarray, " level"]
    ) -> tuple[Float[np.ndarray, "level *shape"], Float[np.ndarray, "level *shape"], Float[np.ndarray, "level *shape"]]:
        """`l`, `s` and `b` at levels within the points."""
        place = np.searchsorted(self.half_log_snr, half_log_snr, side="right") - 1
        place = np.clip(place, 0, len(self.half_log_snr) - 2)
        share = (half_log_snr - self.half_log_snr[place]) / np.diff(self.half_log_snr)[place]
        found = []
        for curve in (self.l, self.s, self.b):
            weight = share.reshape(-1, *(1,) * (curve.ndim - 1))
            found.append((1 - weight) * curve[place] + weight * curve[place + 1])
        return found[0], found[1], found[2]


def model_statistics(
    fields: Fields,
    samples: Float[Array | np.ndarray, "sample *shape"],
    *,
    key: Array,
    conditions: PyTree = None,
    points: int = 120,
    start: float | None = None,
    stop: float | None = None,
    ridge: float = 0.1,
    window: int = 5,
    batch_size: int = 256,
) -> ModelStatistics:
    """The curves that minimise the first-order error of an exponential integrator.

    With the noise prediction `eps` at `x = alpha x1 + sigma n` (`alpha = b`, `sigma = a` of the path), for each entry of
    the state:

        l = E[diag(sigma d eps / dx)] = E[(sigma J v) v]           v of random signs
        f = (sigma eps - l x) / alpha
        f' = e^-lambda ((l - 1) eps + eps') - l' x / alpha         along the ODE, eps' by one product with the Jacobian
        s = cov(f, f') / (var(f) + ridge mean(var(f))),   b = E[f'] - s E[f]

    `l` minimises the Jacobian of what is not linear in the state, `s` and `b` the change of `f` that is not foreseen. `l'` is
    a difference of the curve `l`. Every derivative is one forward-mode product in the state and the time together.

    Two choices regularise the curves. The paper has none, but without them entries that hardly vary (the blank border of
    digits) make `s` ill-posed and the sampler diverges at orders 2 and 3. `ridge` adds a share of the mean variance over the
    entries; a variance that is nothing but rounding gives `s = 0` in any case. `window` averages
    each curve over so many neighbouring points (fewer at the ends). Each sample keeps its noise and its signs at all levels,
    which makes the curves smooth in the level.

    Arguments:
        fields: the model, which may predict any kind on a path from noise. Its dependence on time is differentiated: a
            network whose time embedding has high frequencies has useless statistics.
        samples: of the training data, in the model's units; 1000 to 4000. Not what is generated or evaluated.
        key: of noise and signs.
        conditions: for the model, with a leading axis as long as `samples`.
        points: intervals between the levels, evenly in `lambda`; 120 to 1200. There is one point more than that.
        start, stop: first and last time; the ends of the path's span when absent, or 1e-3 inside where there is no signal
            or no noise.
        ridge: 0.1; 0 is the regression as published.
        window: an odd number of points; 5, or 1 for no average.
        batch_size: samples that are differentiated at once, which bounds the memory.

    Returns:
        The curves in double precision, computed in the precision of `samples`.

    Raises:
        InputError: the path has a latent, starts from data or runs from data to noise, or a number makes no sense.

    Source: Zheng et al., DPM-Solver-v3, 2023, section 3.1 and appendix C; Hutchinson's estimator of a diagonal.
    """
    path = fields.path
    samples = jnp.asarray(samples)
    _check(path, samples, points, ridge, window, batch_size)
    times = UniformLogSNR(start, stop).times(path, points)
    if times[0] > times[-1]:
        raise InputError(
            f"Statistics run from noise to data, and not from t = {times[0]:g} to {times[-1]:g}; give a start that is earlier."
        )
    half_log_snr = schedule(path, "half_log_snr", times)
    noise_key, sign_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, samples.shape, samples.dtype)
    signs = jax.random.rademacher(sign_key, samples.shape, samples.dtype)
    given = (samples, noise, signs, conditions)
    at = jnp.asarray(times, samples.dtype)
    l = np.asarray(_shares(fields, at, given, batch_size), np.float64)
    l_rate = jnp.asarray(np.gradient(l, half_log_snr, axis=0), samples.dtype)
    # The average comes last: f of an averaged l would vary by the difference where f of the model's own l does not.
    s, b = _regressions(fields, at, jnp.asarray(l, samples.dtype), l_rate, given, batch_size, ridge)
    curves = (l, np.asarray(s, np.float64), np.asarray(b, np.float64))
    return ModelStatistics(half_log_snr, *(_smoothed(curve, window) for curve in curves))


@eqx.filter_jit
def _shares(
    fields: Fields, times: Float[Array, " point"], given: tuple[Array, Array, Array, PyTree], batch_size: int
) -> Float[Array, "point *shape"]:
    """`l` at each time."""

    def one(t: Array, target: Array, noise: Array, signs: Array, condition: PyTree) -> Array:
        level = fields.path.source_scale(t).astype(target.dtype)
        x = fields.path.point(t, noise, target).astype(target.dtype)
        return level * jax.jvp(lambda x: fields.noise(t, x, condition), (x,), (signs,))[1] * signs

    def at(t: Array) -> Array:
        return jax.lax.map(lambda row: one(t, *row), given, batch_size=batch_size).mean(axis=0)

    return jax.lax.map(at, times)


@eqx.filter_jit
def _regressions(
    fields: Fields,
    times: Float[Array, " point"],
    l: Float[Array, "point *shape"],
    l_rate: Float[Array, "point *shape"],
    given: tuple[Array, Array, Array, PyTree],
    batch_size: int,
    ridge: float,
) -> tuple[Float[Array, "point *shape"], Float[Array, "point *shape"]]:
    """`s` and `b` at each time."""

    def at(row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        t, l, l_rate = row

        def one(sample: tuple[Array, Array, Array, PyTree]) -> tuple[Array, Array, Array]:
            target, noise, _, condition = sample
            x = fields.path.point(t, noise, target).astype(target.dtype)
            return expanded_and_rate(fields, t, x, l, l_rate, condition)

        f, f_rate, size = jax.lax.map(one, given, batch_size=batch_size)
        # Means are taken off first: a difference of second moments would lose the digits.
        f_mean, rate_mean = f.mean(axis=0), f_rate.mean(axis=0)
        covariance = jnp.mean((f - f_mean) * (f_rate - rate_mean), axis=0)
        variance = jnp.mean((f - f_mean) ** 2, axis=0)
        # f is a difference of larger terms, so it varies by their rounding; a slope on nothing but that stays small.
        rounding = jnp.finfo(f.dtype).eps * jnp.sqrt(jnp.mean(size, axis=0))
        least = _CAUTION * rounding * jnp.std(f_rate, axis=0) + jnp.finfo(f.dtype).tiny
        s = covariance / (variance + ridge * jnp.mean(variance) + least)
        return s, rate_mean - s * f_mean

    return jax.lax.map(at, (times, l, l_rate))


def expanded_and_rate(
    fields: Fields,
    t: Time,
    x: Float[Array, "*shape"],
    l: Float[Array, "*shape"],
    l_rate: Float[Array, "*shape"],
    condition: PyTree = None,
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    """`f = (sigma eps - l x)/alpha` and its total derivative in `lambda` along the probability-flow ODE.

    Arguments:
        fields: the model.
        t: the time.
        x: one state.
        l, l_rate: the curve and its derivative in `lambda` at this time.
        condition: for the model.

    Returns:
        `f`, `f'`, and the sum of the squares of `sigma eps / alpha` and `x / alpha`, to whose digits `f` is known.

    Source: Zheng et al., DPM-Solver-v3, 2023, section 3.1.
    """
    path, dtype = fields.path, x.dtype
    # The model is a function of t, so dt/dlambda is needed: by the derivative of lambda(t), as some inverses have none.
    _, level_rate = rates(path.half_log_snr, t)
    signal, signal_rate = rates(path.target_scale, t)
    noise = path.source_scale(t).astype(dtype)
    time_rate = (1 / level_rate).astype(dtype)
    log_signal_rate = (signal_rate / signal).astype(dtype) * time_rate
    alpha = signal.astype(dtype)
    now = jnp.asarray(t, dtype)
    eps = fields.noise(now, x, condition)
    drift = log_signal_rate * x - noise * eps
    _, eps_rate = jax.jvp(lambda t, x: fields.noise(t, x, condition), (now, x), (time_rate, drift))
    sigma = noise / alpha
    f = sigma * eps - l * x / alpha
    f_rate = sigma * ((l - 1) * eps + eps_rate) - l_rate * x / alpha
    return f, f_rate, (sigma * eps) ** 2 + (x / alpha) ** 2


def _smoothed(curve: Float[np.ndarray, "point *shape"], window: int) -> Float[np.ndarray, "point *shape"]:
    """The moving average over `window` points, over those that there are at the ends, symmetrically."""
    count, half = len(curve), window // 2
    total = np.concatenate([np.zeros_like(curve[:1]), np.cumsum(curve, axis=0)])
    place = np.arange(count)
    reach = np.minimum(np.minimum(place, count - 1 - place), half)
    width = (2 * reach + 1).reshape(-1, *(1,) * (curve.ndim - 1))
    return (total[place + reach + 1] - total[place - reach]) / width


def _check(path: AffinePath, samples: Array, points: int, ridge: float, window: int, batch_size: int) -> None:
    check_from_noise(path)
    if len(samples) < 2:
        raise InputError(f"Statistics of a model need many samples, 1000 for example, and {len(samples)} were given.")
    if points < 1 or batch_size < 1 or window < 1 or window % 2 == 0 or not (0 <= ridge < math.inf):
        raise InputError(
            f"Statistics need points and batch_size of 1 at least, an odd window and a ridge from 0; {points}, {batch_size}, "
            f"{window} and {ridge:g} were given."
        )


_CAUTION = 100.0
"""Rounding may be ten units in the last place, and may make a slope of a tenth."""
