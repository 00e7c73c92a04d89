"""DDIM, DPM-Solver(++) and UniPC against the package diffusers, the papers' formulas written out, and the exact flow."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import (
    CosineVariancePreserving,
    Linear,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)
from pathline.generate.samplers import Adaptive, Euler, UniformLogSNR, UniformTime, sample
from pathline.generate.samplers.ddim import DDIM
from pathline.generate.samplers.dpm_solver import DPMSolver, DPMSolverPP
from pathline.generate.samplers.unipc import UniPC

MEANS, VARIANCE = np.asarray([[1.5, 0.0], [-1.0, 1.0], [0.3, -0.8]]), 0.09
STARTS = np.asarray([[0.7, -1.9], [-0.4, 0.3], [1.1, 1.6]])
INSIDE = UniformLogSNR(0.05, 0.95)
PATHS = [Linear(), VariancePreserving(), CosineVariancePreserving(), VarianceExploding(0.02, 20.0)]
SAMPLERS = {
    "DDIM": DDIM(6),
    "DPMSolver": DPMSolver(3),
    "DPMSolver 3": DPMSolver(2, order=3),
    "DPMSolver multistep": DPMSolver(6, singlestep=False),
    "DPMSolverPP": DPMSolverPP(6),
    "DPMSolverPP 3": DPMSolverPP(6, order=3),
    "DPMSolverPP 2S": DPMSolverPP(3, singlestep=True),
    "UniPC": UniPC(6),
    "UniPC 3": UniPC(6, order=3),
}

# States after 7 evaluations (6 where singlestep), from STARTS on VariancePreserving() with even steps in time, by
# diffusers 0.42.1 on PyTorch 2.13 in double precision: the schedulers DPMSolverMultistep, DPMSolverSinglestep and
# UniPCMultistep with solver_type midpoint or bh1/bh2, final_sigmas_type="sigma_min", lower_order_final, their `sigmas` set
# to a/b at the times of the grid, and the noise prediction of the mixture above.
PEER = {
    "DPM++ 1": [[0.5924671452, -0.9183902863], [-0.4995401632, 0.4743054498], [1.446018857, 0.2742413585]],
    "DPM++ 2M": [[0.5937311336, -0.9570729227], [-0.6675811829, 0.6510896577], [1.5098447847, 0.276621051]],
    "DPM++ 2M heun": [[0.5939461829, -0.9622387148], [-0.6871157302, 0.6715156969], [1.5185728264, 0.2768115928]],
    "DPM++ 3M": [[0.597324211, -0.9618212068], [-0.6968297121, 0.6828265972], [1.5193402529, 0.2765357534]],
    "DPM++ 2S": [[0.7445277063, -0.8096212928], [-0.1565450532, 0.2587840217], [1.0400161202, 0.3627230755]],
    "DPM 2M": [[0.5884168612, -0.9517951162], [-0.6506764832, 0.6330982914], [1.5041947846, 0.2752579579]],
    "DPM 2S": [[0.9220457846, -3.2118155041], [-1.6567799099, 1.3916519435], [2.9959111426, 1.8854387029]],
    "UniPC 1 B1": [[0.5962644167, -0.9419112558], [-0.60941311, 0.5895289685], [1.4846146269, 0.2766675739]],
    "UniPC 1 B2": [[0.5946571153, -0.9348418218], [-0.5763637649, 0.554704816], [1.4729548563, 0.2759313374]],
    "UniPC 2 B1": [[0.5846509133, -0.9780696143], [-0.7545092426, 0.7415026023], [1.5519536749, 0.2751162067]],
    "UniPC 2 B2": [[0.588102676, -0.9645889964], [-0.7061122863, 0.6915436559], [1.526594661, 0.2757160272]],
    "UniPC 3 B1": [[0.5844671699, -0.9785619612], [-0.7583682243, 0.7457794883], [1.5536762279, 0.2746280984]],
    "UniPC 3 B2": [[0.5887287275, -0.9652307079], [-0.7221771114, 0.7094241445], [1.5311812572, 0.2747476811]],
}
OURS = {
    "DPM++ 1": DPMSolverPP(7, order=1),
    "DPM++ 2M": DPMSolverPP(7),
    # The package calls the exactly integrated slope by that name.
    "DPM++ 2M heun": DPMSolverPP(7, taylor=True),
    "DPM++ 3M": DPMSolverPP(7, order=3),
    "DPM++ 2S": DPMSolverPP(3, singlestep=True),
    "DPM 2M": DPMSolver(7, singlestep=False),
    "DPM 2S": DPMSolver(3),
    **{f"UniPC {order} {kind}": UniPC(7, order=order, variant=kind) for order in (1, 2, 3) for kind in ("B1", "B2")},
}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def mixture():
    return GaussianMixture.of(MEANS, VARIANCE)


def starts(path, t, count=8):
    return jax.vmap(lambda key: path.start(key, (2,), t))(jax.random.split(jax.random.key(1), count))


@pytest.mark.parametrize("name", PEER)
def test_an_independent_package(name):
    found = sample(exact_fields(VariancePreserving(), mixture()), STARTS, OURS[name])
    np.testing.assert_allclose(found, PEER[name], atol=1e-5)


class Written:
    """The papers' formulas in NumPy, one state at a time, on the variance-preserving path."""

    def __init__(self, times):
        log_signal = -0.25 * (1 - times) ** 2 * 19.9 - 0.5 * (1 - times) * 0.1
        self.signal, self.noise = np.exp(log_signal), np.sqrt(-np.expm1(2 * log_signal))
        self.half_log_snr = np.log(self.signal / self.noise)

    @classmethod
    def at_level(cls, level):
        found = cls(np.zeros(1))
        found.half_log_snr = np.atleast_1d(level)
        found.signal = 1 / np.sqrt(1 + np.exp(-2 * found.half_log_snr))
        found.noise = found.signal * np.exp(-found.half_log_snr)
        return found

    def data(self, x, place):
        signal, noise = self.signal[place], self.noise[place]
        total = signal**2 * VARIANCE + noise**2
        log_weight = -0.5 * ((x - signal * MEANS) ** 2).sum(axis=1) / total
        weight = np.exp(log_weight - log_weight.max())
        return (weight / weight.sum()) @ (MEANS + signal * VARIANCE / total * (x - signal * MEANS))

    def eps(self, x, place):
        return (x - self.signal[place] * self.data(x, place)) / self.noise[place]


def plus_plus(x, path, order):
    """DPM-Solver++ (2M) and (3M), with lower orders at both ends."""
    steps, cache = len(path.signal) - 1, []
    for i in range(steps):
        cache.append(path.data(x, i))
        h = path.half_log_snr[i + 1] - path.half_log_snr[i]
        phi1 = np.expm1(-h)
        used = min(order, i + 1, steps - i)
        x = path.noise[i + 1] / path.noise[i] * x - path.signal[i + 1] * phi1 * cache[-1]
        if used == 1:
            continue
        r0 = (path.half_log_snr[i] - path.half_log_snr[i - 1]) / h
        d0 = (cache[-1] - cache[-2]) / r0
        if used == 2:
            x = x - 0.5 * path.signal[i + 1] * phi1 * d0
            continue
        r1 = (path.half_log_snr[i - 1] - path.half_log_snr[i - 2]) / h
        d1 = (cache[-2] - cache[-3]) / r1
        first, second = d0 + r0 / (r0 + r1) * (d0 - d1), (d0 - d1) / (r0 + r1)
        phi2 = phi1 / h + 1
        phi3 = phi2 / h - 0.5
        x = x + path.signal[i + 1] * (phi2 * first - phi3 * second)
    return x


def singlestep_noise(x, path, order):
    """DPM-Solver-2 and DPM-Solver-3."""
    for i in range(len(path.signal) - 1):
        begin, end = path.half_log_snr[i], path.half_log_snr[i + 1]
        h, eps = end - begin, path.eps(x, i)
        if order == 2:
            middle = Written.at_level(begin + h / 2)
            u = middle.signal[0] / path.signal[i] * x - middle.noise[0] * np.expm1(h / 2) * eps
            x = path.signal[i + 1] / path.signal[i] * x - path.noise[i + 1] * np.expm1(h) * middle.eps(u, 0)
            continue
        one, two = Written.at_level(begin + h / 3), Written.at_level(begin + 2 * h / 3)
        u1 = one.signal[0] / path.signal[i] * x - one.noise[0] * np.expm1(h / 3) * eps
        d1 = one.eps(u1, 0) - eps
        u2 = two.signal[0] / path.signal[i] * x - two.noise[0] * np.expm1(2 * h / 3) * eps
        u2 = u2 - two.noise[0] * 2 * (np.expm1(2 * h / 3) / (2 * h / 3) - 1) * d1
        d2 = two.eps(u2, 0) - eps
        x = path.signal[i + 1] / path.signal[i] * x - path.noise[i + 1] * np.expm1(h) * eps
        x = x - path.noise[i + 1] * 1.5 * (np.expm1(h) / h - 1) * d2
    return x


def unified(x, path, order, variant):
    """UniPC with the data prediction."""
    steps, cache = len(path.signal) - 1, []
    before, used = x, 1
    for i in range(steps):
        cache.append(path.data(x, i))
        if i:
            x = unified_step(before, path, cache[:-1], i - 1, used, variant, newest=cache[-1])
        before, used = x, min(order, i + 1, steps - i)
        x = unified_step(x, path, cache, i, used, variant)
    return x


def unified_step(x, path, cache, i, order, variant, newest=None):
    level = path.half_log_snr
    h = level[i + 1] - level[i]
    scale = -h if variant == "B1" else np.expm1(-h)
    ratios = [(level[i - j] - level[i]) / h for j in range(1, order)]
    slopes = [(cache[-1 - j] - cache[-1]) / r for j, r in enumerate(ratios, 1)]
    if newest is not None:
        ratios, slopes = [*ratios, 1.0], [*slopes, newest - cache[-1]]
    phi, factorial, wanted = np.expm1(-h) / -h - 1, 1, []
    for j in range(1, len(ratios) + 1):
        wanted.append(phi * factorial / scale)
        factorial *= j + 1
        phi = phi / -h - 1 / factorial
    rho = np.linalg.solve([[r**j for r in ratios] for j in range(len(ratios))], wanted) if ratios else []
    if len(ratios) == 1:
        rho = [0.5]
    x = path.noise[i + 1] / path.noise[i] * x - path.signal[i + 1] * np.expm1(-h) * cache[-1]
    return x - path.signal[i + 1] * scale * sum((r * s for r, s in zip(rho, slopes, strict=True)), np.zeros(2))


@pytest.mark.parametrize("grid", [UniformTime(), UniformLogSNR()], ids=lambda grid: type(grid).__name__)
@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_the_published_formulas(grid, steps):
    path = VariancePreserving()
    written = Written(grid.times(path, steps))
    cases = [(DPMSolverPP(steps, grid, order), plus_plus, (order,)) for order in (1, 2, 3)]
    cases += [(DPMSolver(steps, grid, order), singlestep_noise, (order,)) for order in (2, 3)]
    cases += [(UniPC(steps, grid, order, kind), unified, (order, kind)) for order in (1, 2, 3) for kind in ("B1", "B2")]
    fields = exact_fields(path, mixture())
    for sampler, formula, arguments in cases:
        wanted = [formula(start, written, *arguments) for start in STARTS]
        # Singlestep methods explode in few steps; so do the formulas.
        np.testing.assert_allclose(sample(fields, STARTS, sampler), wanted, rtol=1e-7, err_msg=str(sampler))


@pytest.mark.parametrize("path", PATHS[1::2], ids=lambda path: type(path).__name__)
@pytest.mark.parametrize(
    ("make", "order"),
    [
        (lambda n: DDIM(n, INSIDE), 1),
        (lambda n: DPMSolver(n, INSIDE, 2), 2),
        (lambda n: DPMSolver(n, INSIDE, 3), 3),
        (lambda n: DPMSolver(n, INSIDE, 2, singlestep=False), 2),
        (lambda n: DPMSolver(n, INSIDE, 3, singlestep=False, taylor=True, lower_order_final=False), 3),
        (lambda n: DPMSolverPP(n, INSIDE, 2), 2),
        (lambda n: DPMSolverPP(n, INSIDE, 2, taylor=True), 2),
        (lambda n: DPMSolverPP(n, INSIDE, 3, lower_order_final=False), 2),
        (lambda n: DPMSolverPP(n, INSIDE, 3, taylor=True, lower_order_final=False), 3),
        (lambda n: DPMSolverPP(n, INSIDE, 2, singlestep=True), 2),
        (lambda n: DPMSolverPP(n, INSIDE, 3, singlestep=True), 3),
        (lambda n: UniPC(n, INSIDE, 1, "B1"), 2),
        (lambda n: UniPC(n, INSIDE, 2, lower_order_final=False), 3),
        (lambda n: UniPC(n, INSIDE, 3, lower_order_final=False), 3),
    ],
)
def test_order_of_convergence(path, make, order):
    fields, begin = exact_fields(path, GaussianMixture.of(MEANS, 0.4)), starts(path, 0.05)
    reference = sample(fields, begin, Adaptive(1e-11, start=0.05, stop=0.95))
    counts = [24, 48, 96]
    errors = [float(jnp.abs(sample(fields, begin, make(n)) - reference).max()) for n in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope > order - 0.4, (slope, errors)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("kind", ["noise", "data", "velocity", "v"])
def test_the_prediction_does_not_matter(path, kind):
    exact = exact_fields(path, mixture())
    other = Fields(
        path, lambda t, x, c: getattr(exact, kind)(t, x) if kind != "v" else exact.several(("v",), t, x)[0], kind
    )
    for sampler in (DDIM(5, INSIDE), DPMSolverPP(5, INSIDE), UniPC(5, INSIDE, 3), DPMSolver(3, INSIDE)):
        begin = starts(path, 0.05, 2)
        np.testing.assert_allclose(sample(other, begin, sampler), sample(exact, begin, sampler), rtol=1e-8)


def test_ddim_on_a_rectified_flow_is_the_method_of_euler():
    fields, begin = exact_fields(Linear(), mixture()), starts(Linear(), 0.0)
    np.testing.assert_allclose(sample(fields, begin, DDIM(7)), sample(fields, begin, Euler(7)), rtol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_ddim_is_euler_in_the_noise_level(path):
    times = INSIDE.times(path, 6)
    level, signal = (np.asarray([float(f(t)) for t in times]) for f in (path.noise_level, path.target_scale))
    x, fields = starts(path, 0.05, 1)[0], exact_fields(path, mixture())
    y = np.asarray(x) / signal[0]
    for step in range(6):
        y = y + (level[step + 1] - level[step]) * np.asarray(fields.noise(times[step], jnp.asarray(signal[step] * y)))
    np.testing.assert_allclose(sample(fields, x[None], DDIM(6, INSIDE))[0], signal[-1] * y, rtol=1e-9)


def test_data_are_encoded_and_decoded():
    path = Linear()
    fields = exact_fields(path, GaussianMixture.of(MEANS, 0.4))
    back, forth = UniformTime(0.95, 0.05), UniformTime(0.05, 0.95)
    ends = jnp.asarray(STARTS)
    noise = sample(fields, ends, DDIM(800, back))
    np.testing.assert_allclose(noise, sample(fields, ends, Adaptive(1e-10, start=0.95, stop=0.05)), atol=0.02)
    np.testing.assert_allclose(sample(fields, noise, DDIM(800, forth)), ends, atol=0.02)
    # From the very data, where there is no noise to divide by.
    assert np.isfinite(DDIM(5, UniformTime(1.0, 0.0)).table(path, ("velocity",)).next_record).all()


@pytest.mark.parametrize("path", [Linear(), Trigonometric()], ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("name", ["DDIM", "DPMSolverPP", "DPMSolverPP 3", "DPMSolverPP 2S", "UniPC", "UniPC 3"])
def test_no_signal_at_the_start_and_no_noise_at_the_end(path, name):
    """Data of variance 1 around one mean: `E[x1 | x_0]` is the mean, and few steps do."""
    fields = exact_fields(path, GaussianMixture.of(MEANS[:1], 1.0))
    begin = starts(path, 0.0)
    found = sample(fields, begin, replace(SAMPLERS[name], steps=24))
    np.testing.assert_allclose(found, MEANS[0] + begin, atol=0.15)
    with pytest.raises(InputError, match="does not tell where to go at t = 0"):
        DPMSolver(3).table(path, ("velocity",))


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_and_precision(name):
    path = VariancePreserving()
    assert SAMPLERS[name].evaluations(path, ("noise",)) == 6
    with jax.enable_x64(False):
        fields = exact_fields(path, GaussianMixture.of(MEANS.astype(np.float32), VARIANCE))
        found = sample(fields, STARTS.astype(np.float32), SAMPLERS[name])
        assert found.dtype == jnp.float32
    double = sample(exact_fields(path, mixture()), STARTS, SAMPLERS[name])
    np.testing.assert_allclose(found, double, rtol=2e-3, atol=2e-3)


def test_mistakes():
    with pytest.raises(InputError, match="no order 4"):
        DPMSolverPP(5, order=4).table(VariancePreserving(), ("noise",))
    with pytest.raises(InputError, match="no UniPC 'B3'"):
        UniPC(5, variant="B3")
    for path in (Linear(latent="brownian"), Linear(law=None)):
        with pytest.raises(InputError, match="exponential integrators need noise at one end"):
            DDIM(5).table(path, ("velocity", "score"))
