"""What can be known without training: mixtures on the line, whose fields, densities and divergences have no sampling noise."""

from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.generate.couplings import Pairs
from pathline.generate.fields import Fields
from pathline.generate.girsanov import field_errors
from pathline.generate.likelihood import log_density
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import EncodeDecode, Linear
from pathline.generate.samplers import Heun, UniformTime, sample
from pathline.generate.samplers.stochastic import EulerMaruyama
from pathline.measure import energy_distance
from pathline.systems.fokker_planck import cell_centres, fokker_planck

LOW, HIGH = -12.0, 12.0
LATENT = Linear(latent="brownian", strength=2.0, law=None)


@dataclass(frozen=True)
class Line:
    """The experiment on the line.

    Arguments:
        cells, steps: of the Fokker-Planck equation.
        strengths: `eps`, beginning with 0, the ODE.
        draws: of the errors that are added to the fields.
        size: amplitude of these errors, which are waves.
        wave: their wave number.
        pairs: of source and target, for means over the path.
        points, sets: samples whose distances are compared, in so many sets.
        sampler_steps: of Euler-Maruyama.
    """

    cells: int = 1200
    steps: int = 800
    strengths: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
    draws: int = 3
    size: float = 0.3
    wave: float = 2.0
    pairs: int = 4000
    points: int = 2000
    sets: int = 8
    sampler_steps: int = 1000


@dataclass(frozen=True)
class Divergences:
    """Divergences for each strength of the noise.

    Arguments:
        strengths: `eps`.
        disturbed: `KL(rho_1 | rho^_eps)` with errors in the fields, a row for each draw.
        bounds: what the errors alone allow, infinite for the ODE.
        flow: of the ODE by its characteristics, as a check of the finite volumes.
        exact: of the exact fields: the error of the finite volumes.
        best: the strength with the least bound, for each draw.
        densities: at the end, of the first draw: a row for each strength.
        target: the density that is wanted.
    """

    strengths: Float[np.ndarray, " strength"]
    disturbed: Float[np.ndarray, "draw strength"]
    bounds: Float[np.ndarray, "draw strength"]
    flow: Float[np.ndarray, " draw"]
    exact: Float[np.ndarray, " strength"]
    best: Float[np.ndarray, " draw"]
    densities: Float[np.ndarray, "strength cell"]
    target: Float[np.ndarray, " cell"]


class Disturbed(eqx.Module):
    """Velocity and score with waves added to both, of equal size and independent phases.

    Arguments:
        exact: the fields.
        size, wave: of the waves.
        phases: of the velocity's wave and of the score's.
        speeds: at which they travel.
    """

    exact: Fields
    size: Float[Array, ""]
    wave: Float[Array, ""]
    phases: Float[Array, "2"]
    speeds: Float[Array, "2"]

    def __call__(self, t, x, condition) -> tuple[Array, Array]:
        """The two fields."""
        velocity, score = self.exact.model(t, x, condition)
        waves = [self.size * jnp.sin(self.wave * x + self.phases[i] + self.speeds[i] * t) for i in range(2)]
        return velocity + waves[0], score + waves[1]


class Drift(eqx.Module):
    """`b + eps s` of one number."""

    fields: Fields
    eps: Float[Array, ""]

    def __call__(self, t: Float[Array, ""], x: Float[Array, ""]) -> Float[Array, ""]:
        """The drift."""
        velocity, score = self.fields.several(("velocity", "score"), t, x[None])
        return velocity[0] + self.eps * score[0]


class Strength(eqx.Module):
    """The same everywhere."""

    eps: Float[Array, ""]

    def __call__(self, t: Float[Array, ""], x: Float[Array, ""]) -> Float[Array, ""]:
        """`eps`."""
        return self.eps


def mixtures() -> tuple[GaussianMixture, GaussianMixture]:
    """Two modes, and three."""
    source = GaussianMixture.of(jnp.asarray([[-3.0], [3.0]]), 0.25)
    target = GaussianMixture.of(jnp.asarray([[-6.0], [0.0], [6.0]]), jnp.asarray([0.5, 0.33, 0.5]))
    return source, target


def divergences(line: Line, key: Array) -> Divergences:
    """How far the samples of disturbed fields are from the target, for each strength of the noise."""
    with jax.enable_x64(True):
        source, target = mixtures()
        exact = exact_fields(LATENT, target, source)
        x = cell_centres(LOW, HIGH, line.cells)
        density = jax.vmap(lambda law, x: jnp.exp(jax.vmap(law.log_density)(x)), in_axes=(None, 0))
        before, wanted = (np.asarray(density(law, x[:, None, None]))[:, 0] for law in (source, target))
        draw_key, pair_key, latent_key = jax.random.split(key, 3)

        def ends(fields: Fields) -> Float[np.ndarray, "strength cell"]:
            found = []
            for eps in line.strengths:
                strength = jnp.asarray(eps)
                solved = fokker_planck(
                    Drift(fields, strength),
                    Strength(strength),
                    before,
                    LOW,
                    HIGH,
                    np.asarray([0.0, 1.0]),
                    substeps=line.steps,
                    order=2,
                )
                found.append(solved[-1])
            return np.stack(found)

        pairs = _pairs(line.pairs, pair_key)
        times = jnp.linspace(1e-3, 1 - 1e-3, 41)
        disturbed, bounds, flows, best, densities = [], [], [], [], []
        for draw in jax.random.split(draw_key, line.draws):
            model = _disturbed(line, exact, draw)
            fields = Fields(LATENT, model, ("velocity", "score"))
            densities.append(ends(fields))
            disturbed.append([_divergence(wanted, found, x) for found in densities[-1]])
            errors = field_errors(fields, exact, pairs, times, key=latent_key)
            bounds.append([float(errors.separate_bound(eps)) if eps else np.inf for eps in line.strengths])
            best.append(float(errors.best_diffusion))
            flow = np.asarray(_flow_density(fields, source, jnp.asarray(x)))
            flows.append(_divergence(wanted, flow, x))
        still = Fields(LATENT, _disturbed(line, exact, draw_key, size=0.0), ("velocity", "score"))
        return Divergences(
            strengths=np.asarray(line.strengths),
            disturbed=np.asarray(disturbed),
            bounds=np.asarray(bounds),
            flow=np.asarray(flows),
            exact=np.asarray([_divergence(wanted, found, x) for found in ends(still)]),
            best=np.asarray(best),
            densities=densities[0],
            target=wanted,
        )


def marginal_ratios(line: Line, key: Array) -> dict[str, float]:
    """The energy distance of samples on their way to states of the path, over that of two sets of such states, for every
    strength and time. Points count as their own neighbours, so that equal laws have a positive distance, the floor; both are
    means over several sets, as how many points fall to each mode is left to chance."""
    source, target = mixtures()
    fields = exact_fields(LATENT, target, source)
    start_key, real_key, other_key, noise_key = jax.random.split(key, 4)
    begin, count = LATENT.span[0], line.points * line.sets
    starts = _states(count, begin, start_key)
    ratios = {}
    for number, time in enumerate((0.25, 0.5, 0.75)):
        real, other = (_states(count, time, jax.random.fold_in(k, number)) for k in (real_key, other_key))
        floor = _mean_of_sets(line, other, real)
        for place, eps in enumerate((0.0, 1.0, 5.0)):
            grid = UniformTime(begin, time)
            # As many evaluations for each, so that there is one program for all.
            steps = line.sampler_steps
            sampler = EulerMaruyama(steps, eps, grid) if eps else Heun(steps // 2, grid)
            found = sample(fields, starts, sampler, key=jax.random.fold_in(noise_key, 3 * number + place))
            ratios[f"eps = {eps:g}, t = {time:g}"] = _mean_of_sets(line, found, real) / floor
    return ratios


def smoothing(line: Line, key: Array) -> Mapping[str, Float[np.ndarray, " time"]]:
    """The root mean square of `db/dx` at each time: with the latent and without; then the spread of states on the
    encode-decode path, which has no latent here."""
    source, target = mixtures()
    pair_key, latent_key = jax.random.split(key)
    pairs = _pairs(line.pairs, pair_key)
    latent = jax.random.normal(latent_key, pairs.target.shape)
    found = {"time": np.linspace(0.005, 0.995, 199)}
    for name, path in (("latent", LATENT), ("no latent", Linear(law=None))):
        fields = exact_fields(path, target, source)

        def slope(t, source, target, latent, fields=fields, path=path):
            x = path.point(t, source, target, latent if path.has_latent else None)
            return jax.jvp(lambda x: fields.velocity(t, x), (x,), (jnp.ones_like(x),))[1][0] ** 2

        square = jax.jit(
            lambda times, slope=slope: jax.lax.map(
                lambda t: jnp.mean(jax.vmap(slope, (None, 0, 0, 0))(t, pairs.source, pairs.target, latent)), times
            )
        )
        found[name] = np.sqrt(np.asarray(square(jnp.asarray(found["time"], jnp.float32))))
    path = EncodeDecode(law=None)
    found["encode-decode"] = np.asarray(
        [float(jnp.std(path.interpolate(float(t), pairs.source, pairs.target))) for t in found["time"]]
    )
    return found


def _disturbed(line: Line, exact: Fields, key: Array, size: float | None = None) -> Disturbed:
    phase_key, speed_key = jax.random.split(key)
    return Disturbed(
        exact,
        jnp.asarray(line.size if size is None else size),
        jnp.asarray(line.wave),
        jax.random.uniform(phase_key, (2,), maxval=2 * np.pi),
        jax.random.uniform(speed_key, (2,), minval=-3.0, maxval=3.0),
    )


@eqx.filter_jit
def _flow_density(fields: Fields, source: GaussianMixture, x: Float[Array, " cell"]) -> Float[Array, " cell"]:
    return jnp.exp(jax.vmap(lambda x: log_density(fields, x[None], tolerance=1e-7, base=source.log_density))(x))


def _divergence(wanted: np.ndarray, found: np.ndarray, x: np.ndarray) -> float:
    """`KL(wanted | found)` on the cells where anything is wanted."""
    there = wanted > 1e-14
    logs = np.log(wanted[there]) - np.log(np.maximum(found[there], 1e-300))
    return float((x[1] - x[0]) * (wanted[there] * logs).sum())


def _pairs(count: int, key: Array) -> Pairs:
    keys = jax.random.split(key, (2, count))
    source, target = mixtures()
    return Pairs(jax.vmap(source.sample)(keys[0]), jax.vmap(target.sample)(keys[1]))


def _states(count: int, t: float, key: Array) -> Float[Array, "count 1"]:
    pair_key, latent_key = jax.random.split(key)
    pairs = _pairs(count, pair_key)
    return LATENT.point(t, pairs.source, pairs.target, jax.random.normal(latent_key, pairs.target.shape))


def _mean_of_sets(line: Line, found: Array, real: Array) -> float:
    """The mean distance over the sets."""
    sets = (np.asarray(points).reshape(line.sets, line.points, 1) for points in (found, real))
    return float(np.mean([_biased_distance(one, other) for one, other in zip(*sets, strict=True)]))


def _biased_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The energy distance with pairs of a point and itself."""
    own = sum(_mean_distance(np.sort(one[:, 0])) / (len(one) - 1) for one in (x, y))
    return energy_distance(x, y) + own


def _mean_distance(ordered: np.ndarray) -> float:
    """`mean |x_i - x_j|` over all pairs on the line, a point and itself included."""
    count = len(ordered)
    return float(2 * ((2 * np.arange(count) - count + 1) * ordered).sum() / count**2)
