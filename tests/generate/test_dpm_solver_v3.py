"""DPM-Solver-v3: what it reduces to, where it is exact, its order, and the published algorithm written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.model_statistics import ModelStatistics, model_statistics
from pathline.generate.paths import Linear, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Adaptive, UniformLogSNR, UniformTime, sample
from pathline.generate.samplers.ddim import DDIM
from pathline.generate.samplers.dpm_solver import DPMSolver, DPMSolverPP
from pathline.generate.samplers.dpm_solver_v3 import DPMSolverV3
from pathline.generate.samplers.statistical_step import StatisticalStep, taylor_weights
from pathline.generate.samplers.unipc import UniPC

PATH, EVEN = VariancePreserving(), UniformLogSNR()
MEANS = np.asarray([[1.5, 0.0], [-1.0, 1.0], [0.3, -0.8]])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def mixture(variance=0.3):
    return GaussianMixture.of(MEANS, variance)


def starts(path=PATH, count=8, shape=(2,), t=None):
    return jax.vmap(lambda key: path.start(key, shape, t))(jax.random.split(jax.random.key(1), count))


def ends_of(path):
    return [float(path.half_log_snr(t)) for t in path.span]


def constant(path, l, s, points=7):
    levels = np.linspace(*ends_of(path), points)
    return ModelStatistics(levels, np.full(points, l), np.full(points, s), np.zeros(points))


def wavy(points, shape=(2,)):
    """Curves like those of real models, smooth and different in each entry."""
    levels = np.linspace(*ends_of(PATH), points)
    entry = np.arange(np.prod(shape)).reshape(shape)
    at = levels.reshape(-1, *(1,) * len(shape))
    return ModelStatistics(
        levels, 1 / (1 + np.exp(2 * at + entry)), 0.5 * np.tanh(at) - 0.3 * entry, 0.2 * np.sin(at + entry)
    )


@pytest.mark.parametrize("grid", [UniformLogSNR(), UniformTime()], ids=lambda grid: type(grid).__name__)
@pytest.mark.parametrize("path", [PATH, VarianceExploding(0.002, 80.0)], ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_constant_curves_give_the_older_solvers(path, order, grid):
    """With `l, s, b = 1, 0, 0` the data prediction is expanded, with `0, -1, 0` the noise prediction."""
    fields, begin = exact_fields(path, mixture()), starts(path)
    # The times between the ends of the grid are found from lambda, to some digits.
    for (l, s), older in (((1.0, 0.0), DPMSolverPP), ((0.0, -1.0), DPMSolver)):
        v3 = DPMSolverV3(constant(path, l, s), 9, order, corrector=False, grid=grid)
        wanted = sample(fields, begin, older(9, grid, order, singlestep=False, taylor=True))
        np.testing.assert_allclose(sample(fields, begin, v3), wanted, rtol=1e-6, atol=1e-8)
        if order == 1:
            np.testing.assert_allclose(wanted, sample(fields, begin, DDIM(9, grid)), rtol=1e-6, atol=1e-8)


def test_with_data_predictions_it_is_unipc_once_warmed_up():
    """Its predictor of order 3 is that of UniPC-3; its corrector, of as many points as the predictor, is that of UniPC-2."""
    v3 = DPMSolverV3(constant(PATH, 1.0, 0.0), 8, 3, pseudo_corrector=False, lower_order_final=False)
    found = v3.table(PATH, ("data",))
    third, second = (UniPC(8, EVEN, order, lower_order_final=False).table(PATH, ("data",)) for order in (3, 2))
    # v3 keeps f = -D.
    np.testing.assert_allclose(found.next_record[3:], -third.next_record[3:], atol=1e-8)
    np.testing.assert_allclose(found.anchor_record[3:], -second.anchor_record[3:], atol=1e-8)
    np.testing.assert_allclose(found.anchor_anchor[3:], second.anchor_anchor[3:], rtol=1e-8)


@pytest.mark.parametrize("path", [PATH, VarianceExploding(0.02, 20.0), Linear()], ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("steps", [1, 4])
def test_gaussian_data_are_sampled_exactly(path, steps):
    """In any number of steps of order 1, up to the spacing of the statistics."""
    mean, variance = np.asarray([0.7, -1.2]), np.asarray([0.5, 0.02])
    fields = exact_fields(path, GaussianMixture.of(mean[None], variance[None]))
    samples = np.random.default_rng(0).normal(size=(64, 2)) * np.sqrt(variance) + mean
    statistics = model_statistics(fields, samples, key=jax.random.key(0), points=600, window=1)
    first, last = (float(path.time_at(statistics.half_log_snr[place])) for place in (0, -1))
    begin = starts(path, t=first)

    def moments(t):
        b, a = float(path.target_scale(t)), float(path.source_scale(t))
        return b * mean, np.sqrt(b**2 * variance + a**2)

    (mean0, scale0), (mean1, scale1) = moments(first), moments(last)
    exact = mean1 + scale1 / scale0 * (begin - mean0)
    found = sample(fields, begin, DPMSolverV3(statistics, steps, 1, corrector=False))
    np.testing.assert_allclose(found, exact, atol=2e-3)
    inside = UniformLogSNR(first, last)
    assert np.abs(sample(fields, begin, DDIM(steps, inside)) - exact).max() > 0.05
    # Higher orders and correctors do no harm.
    np.testing.assert_allclose(sample(fields, begin, DPMSolverV3(statistics, steps, 3)), exact, atol=2e-3)


@pytest.mark.parametrize(
    ("order", "settings", "expected"),
    [
        (1, {"corrector": False}, 1),
        (2, {"corrector": False}, 2),
        (3, {"corrector": False}, 3),
        (1, {"corrector": True, "pseudo_corrector": True}, 2),
        (2, {"corrector": True, "pseudo_corrector": False}, 2),
        (3, {"corrector": True, "pseudo_corrector": False}, 3),
        (2, {"corrector": True, "pseudo_corrector": True}, 2),
        (2, {"half_corrector": True}, 2),
    ],
)
def test_order_of_convergence(order, settings, expected):
    """On smooth curves, however they were come by: the curves decide how large the error is, not its order."""
    fields, begin = exact_fields(PATH, mixture()), starts()
    reference = sample(fields, begin, Adaptive(1e-12))
    statistics, counts = wavy(4000), [40, 80, 160] if expected < 3 else [80, 160, 320]
    errors = []
    for n in counts:
        v3 = DPMSolverV3(statistics, n, order, lower_order_final=False, **settings)
        errors.append(float(jnp.abs(sample(fields, begin, v3) - reference).max()))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope > expected - 0.3, (slope, errors)


def test_the_integrals_against_closed_forms():
    """For constant curves, and for linear ones against a fine sum."""
    levels = np.asarray([-1.0, 0.2, 1.3, 2.0])
    l, s, b = 0.6, -0.25, 0.4
    ones = np.ones((4, 1))
    step = StatisticalStep.of(ModelStatistics(levels, l * ones, s * ones, b * ones), -0.7, 1.6)
    h, k = 2.3, l + s
    np.testing.assert_allclose(step.keep, np.exp(-l * h))
    np.testing.assert_allclose(step.growth, np.exp(s * h))
    np.testing.assert_allclose(step.shift, b * (1 - np.exp(-s * h)) / s)
    np.testing.assert_allclose(step.moments[0], np.expm1(k * h) / k)
    np.testing.assert_allclose(step.moments[1], (np.exp(k * h) * (k * h - 1) + 1) / k**2)
    np.testing.assert_allclose(step.constant, b / s * (np.expm1(k * h) / k - np.expm1(l * h) / l))
    bent = ModelStatistics(levels, levels[:, None] ** 2, np.cos(levels)[:, None], np.exp(levels)[:, None])
    step = StatisticalStep.of(bent, -0.7, 1.6)
    fine = np.linspace(-0.7, 1.6, 400_001)
    curves = [part[:, 0] for part in bent.at(fine)]

    def total(values):
        return np.append(0.0, np.cumsum(0.5 * np.diff(fine) * (values[1:] + values[:-1])))

    grown = total(curves[1])
    shift = total(np.exp(-grown) * curves[2])
    weight = np.exp(total(curves[0]) + grown)
    np.testing.assert_allclose(step.shift, shift[-1], rtol=1e-8)
    np.testing.assert_allclose(step.constant, total(weight * shift)[-1], rtol=1e-7)
    for power in range(4):
        np.testing.assert_allclose(step.moments[power], total(weight * (fine + 0.7) ** power)[-1], rtol=1e-7)
    # And back again.
    back = StatisticalStep.of(bent, 1.6, -0.7)
    np.testing.assert_allclose(back.keep * step.keep, 1.0)
    np.testing.assert_allclose(back.shift, -np.exp(grown[-1]) * shift[-1], rtol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_taylor_weights(count):
    distances = np.asarray([-0.4, -1.1, -1.5])[:count]
    true, pseudo = (taylor_weights(distances, pseudo=flag) for flag in (False, True))
    for degree in range(1, 4):
        values = distances**degree
        wanted = np.eye(3)[degree - 1][:count]
        if degree <= count:
            np.testing.assert_allclose(true @ values, wanted, atol=1e-12)
        # The k-th pseudo derivative is exact up to degree k.
        for power in range(degree, count + 1):
            np.testing.assert_allclose(pseudo[power - 1] @ values, wanted[power - 1], atol=1e-12)
    np.testing.assert_allclose(pseudo[-1], true[-1], rtol=1e-10)
    assert (count == 1) == np.allclose(pseudo, true)
    assert (np.triu(pseudo, 1) == 0).all()


@pytest.mark.parametrize("order", [1, 2])
def test_low_pseudo_orders_are_true_orders(order):
    tables = [
        DPMSolverV3(wavy(50), 6, order, corrector=False, pseudo_predictor=flag).table(PATH, ("noise",))
        for flag in (False, True)
    ]
    np.testing.assert_allclose(tables[0].next_record, tables[1].next_record, rtol=1e-12)
    third = [
        DPMSolverV3(wavy(50), 6, 3, corrector=False, pseudo_predictor=flag).table(PATH, ("noise",))
        for flag in (False, True)
    ]
    assert not np.allclose(third[0].next_record, third[1].next_record)


def published(x, fields, statistics, places, order, p_pseudo, corrector, c_pseudo, lower_order_final, half):
    """The method by the trapezoid rule on the points of the statistics, keeping the states and noise predictions; the
    corrected ones take the place of the predicted, with `eps' = eps + l (x' - x) / sigma`."""
    level = statistics.half_log_snr
    times = [float(PATH.time_at(lam)) for lam in level[places]]
    alpha, sigma = (np.asarray([float(f(t)) for t in times]) for f in (PATH.target_scale, PATH.source_scale))
    l, s, b = statistics.l, statistics.s, statistics.b

    def total(values):
        parts = 0.5 * np.diff(level)[:, None] * (values[1:] + values[:-1])
        return np.concatenate([np.zeros_like(values[:1]), np.cumsum(parts, axis=0)])

    total_l, total_s = total(l), total(s)
    weight = np.exp(total_l + total_s)
    total_i, total_b = total(weight), total(np.exp(-total_s) * b)
    total_c = total(weight * total_b)
    states, noises = [], []

    def g(anchor, node):
        i, j = places[anchor], places[node]
        f = (sigma[node] * noises[node] - l[j] * states[node]) / alpha[node]
        return np.exp(total_s[i] - total_s[j]) * f - np.exp(total_s[i]) * (total_b[j] - total_b[i])

    def update(begin, nodes, pseudo):
        i, j = places[begin], places[begin + 1]
        known = [g(begin, begin), *(g(begin, node) for node in nodes)]
        distance = np.asarray([0.0, *(level[places[node]] - level[i] for node in nodes)])
        if pseudo:
            columns = [known]
            for k in range(1, len(known)):
                last = columns[-1]
                columns.append(
                    [(last[m + 1] - last[m]) / (distance[m + k] - distance[m]) for m in range(len(last) - 1)]
                )
            taylor = [column[0] for column in columns[1:]]
        else:
            matrix = distance[1:, None] ** np.arange(1, len(known))
            taylor = np.linalg.solve(matrix, np.asarray(known[1:]) - known[0]) if nodes else []
        inner = total_c[j] - total_c[i] - total_b[i] * (total_i[j] - total_i[i])
        found = np.exp(total_l[i] - total_l[j]) * states[begin] / alpha[begin] - np.exp(-total_l[j]) * inner
        found = found - np.exp(-total_l[j] - total_s[i]) * (total_i[j] - total_i[i]) * known[0]
        for k, coefficient in enumerate(taylor, 1):
            powers = total(weight * np.maximum(level - level[i], 0)[:, None] ** k)
            moment = (powers[j] - powers[i]) / weight[i]
            found = found - np.exp(total_l[i] - total_l[j]) * moment * coefficient
        return alpha[begin + 1] * found

    used = 0
    for m in range(len(places) - 1):
        states.append(x)
        noises.append(np.asarray(fields.noise(times[m], jnp.asarray(x))))
        count = used - 1 + c_pseudo
        if corrector and m and count and (not half or times[m] >= 0.5):
            before = g(m, m)
            corrected = update(m - 1, [m, *range(m - 2, m - 1 - count, -1)], c_pseudo)
            noises[m] = noises[m] + l[places[m]] * (corrected - x) / sigma[m]
            states[m] = corrected
            np.testing.assert_allclose(g(m, m), before, rtol=1e-9, err_msg="the corrector leaves g unchanged")
        used = min(order, m + 1, len(places) - 1 - m if lower_order_final else order)
        x = update(m, list(range(m - 1, m - used, -1)), p_pseudo)
    return x


@pytest.mark.parametrize(
    ("order", "p_pseudo", "corrector", "c_pseudo", "lower", "half"),
    [
        (1, False, False, False, True, False),
        (2, False, True, True, True, False),
        (3, False, True, False, True, False),
        (3, True, True, True, False, False),
        (3, False, True, True, True, True),
    ],
)
def test_the_published_algorithm(order, p_pseudo, corrector, c_pseudo, lower, half):
    """Which differs by the trapezoid rule's error, four times smaller on twice as many points."""
    fields, begin, steps = exact_fields(PATH, mixture()), starts(count=2), 8
    errors = []
    for points in (1601, 3201):
        statistics = wavy(points)
        places = np.arange(0, points, (points - 1) // steps)
        v3 = DPMSolverV3(statistics, steps, order, corrector, p_pseudo, c_pseudo, half, lower_order_final=lower)
        found = sample(fields, begin, v3)
        wanted = [
            published(np.asarray(x), fields, statistics, places, order, p_pseudo, corrector, c_pseudo, lower, half)
            for x in begin
        ]
        errors.append(np.abs(found - np.asarray(wanted)).max())
    assert errors[0] < 1e-4 and errors[1] < 0.3 * errors[0] + 1e-8, errors


def test_states_of_any_shape_and_predictions_of_any_kind():
    exact = exact_fields(PATH, GaussianMixture.of(MEANS.reshape(3, 1, 2), 0.3))
    begin = starts(shape=(1, 2))
    v3 = DPMSolverV3(wavy(50, (1, 2)), 6)
    found = sample(exact, begin, v3)
    flat = sample(exact_fields(PATH, mixture()), begin[:, 0], DPMSolverV3(wavy(50, (2,)), 6))
    np.testing.assert_allclose(found[:, 0], flat, rtol=1e-9)
    for kind in ("noise", "velocity", "v"):
        fields = Fields(PATH, lambda t, x, c, kind=kind: exact.several((kind,), t, x)[0], kind)
        np.testing.assert_allclose(sample(fields, begin, v3), found, rtol=1e-7)
    # Outside of the compiled loop over many starts too.
    np.testing.assert_allclose(v3(exact, begin[0]), found[0], rtol=1e-9)


def test_evaluations_grids_and_precision():
    v3 = DPMSolverV3(wavy(50), 7, grid=UniformTime())
    assert v3.evaluations(PATH, ("noise",)) == 7
    np.testing.assert_allclose(v3.table(PATH, ("noise",)).times, np.linspace(0, PATH.span[1], 8)[:-1], atol=1e-6)
    begin = np.asarray(starts())
    with jax.enable_x64(False):
        fields = exact_fields(PATH, GaussianMixture.of(MEANS.astype(np.float32), 0.3))
        single = sample(fields, begin.astype(np.float32), v3)
        assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, sample(exact_fields(PATH, mixture()), begin, v3), atol=1e-3)


def test_without_a_ridge_entries_that_hardly_vary_make_it_diverge():
    """Two entries of the data are constant, and there the model is wrong by a trifle that depends quickly on time, as that of
    a network with a high-frequency time embedding."""
    blank = np.asarray([0.0, 1.0])
    with jax.enable_x64(False):
        target = GaussianMixture.of(MEANS.astype(np.float32), 0.05)
        exact = exact_fields(PATH, target)

        def model(t, x, condition):
            alpha, sigma = PATH.target_scale(t), PATH.source_scale(t)
            trifle = 0.003 * jnp.sin(200 * t + blank.astype(np.float32)) * jnp.tanh(x[0])
            return jnp.concatenate([exact.noise(t, x[:2]), (x[2:] + alpha) / sigma + trifle])

        fields = Fields(PATH, model, "noise")
        drawn = jax.vmap(target.sample)(jax.random.split(jax.random.key(2), 1024))
        samples = np.concatenate([drawn, -np.ones((1024, 2), np.float32)], axis=1)
        begin = jax.vmap(lambda key: PATH.start(key, (4,)))(jax.random.split(jax.random.key(1), 64))
        reference = sample(fields, begin, Adaptive(1e-6))

        def error(sampler):
            return float(jnp.sqrt(jnp.mean((sample(fields, begin, sampler) - reference) ** 2)))

        plain = error(DDIM(8, EVEN))
        bare, ridged = (model_statistics(fields, samples, key=jax.random.key(3), ridge=ridge) for ridge in (0.0, 0.1))
        for order in (2, 3):
            assert not error(DPMSolverV3(bare, 8, order)) < 1.0
            assert error(DPMSolverV3(ridged, 8, order)) < plain


def test_mistakes():
    v3 = DPMSolverV3(wavy(50), 5, 4)
    with pytest.raises(InputError, match="no order 4"):
        v3.table(PATH, ("noise",))
    with pytest.raises(InputError, match="wider range"):
        DPMSolverV3(wavy(50), 5, grid=UniformLogSNR(stop=1 - 1e-5)).table(PATH, ("noise",))
    with pytest.raises(InputError, match="exponential integrators need noise"):
        DPMSolverV3(wavy(50), 5).table(Linear(latent="brownian"), ("velocity", "score"))
