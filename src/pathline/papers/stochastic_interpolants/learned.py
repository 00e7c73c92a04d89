"""Learned fields: one network, sampled by the ODE and with every strength of the noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.generate.couplings import Independent, Pairs
from pathline.generate.fields import Fields
from pathline.generate.girsanov import field_errors
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Regression
from pathline.generate.paths import AffinePath, Linear, VariancePreserving
from pathline.generate.predictions import Kind
from pathline.generate.samplers import Adaptive, Heun, UniformTime, sample
from pathline.generate.samplers.stochastic import EulerMaruyama, ReverseDiffusion
from pathline.integrate import nfe
from pathline.measure import energy_distance, wasserstein2
from pathline.nets import ResidualMLP
from pathline.train import fit, pick_seed


@dataclass(frozen=True)
class Setup:
    """How models are trained and sampled.

    Arguments:
        width, depth: of each network.
        steps, batch_size, rate, ema: of training by Adam with a cosine schedule.
        seeds: how many.
        samples: of each model.
        assigned: of them for the Wasserstein distance.
        strengths: `eps`, beginning with 0, the ODE.
        sampler_steps: of Euler-Maruyama.
        data: how many samples of source and target to learn from.
    """

    width: int = 128
    depth: int = 1
    steps: int = 4000
    batch_size: int = 256
    rate: float = 1e-3
    ema: float = 0.999
    seeds: int = 3
    samples: int = 3000
    assigned: int = 1000
    strengths: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
    sampler_steps: int = 200
    data: int = 20000


@dataclass(frozen=True)
class Problem:
    """Samples to learn from and to compare with.

    Arguments:
        name: short.
        target, test: samples.
        source: samples, or `None` for noise.
        starts: further samples of the source.
        exact: the exact fields of the interpolant with its latent, where they are known.
    """

    name: str
    target: Float[np.ndarray, "sample dim"]
    test: Float[np.ndarray, "test dim"]
    source: Float[np.ndarray, "sample dim"] | None
    starts: Float[np.ndarray, "test dim"]
    exact: Fields | None


@dataclass(frozen=True)
class Sampled:
    """What samples of each model are like; lists have a value for each seed.

    Arguments:
        energy: distance to test samples, for each strength.
        halved: the same with half the steps, of the first seed.
        transport: the Wasserstein distance.
        baselines, baseline_transport: both distances of the baselines by name.
        floor_energy, floor_transport: of real samples.
        velocity_error, score_error: mean squares over the path, where exact fields are known.
        slopes: root mean square of the velocity's Jacobian, of the interpolant and of flow matching.
        evaluations: of the adaptive ODE, of the same two.
        shown: samples of the first seed, for the strengths of the figure.
    """

    energy: dict[float, list[float]]
    halved: dict[float, list[float]]
    transport: dict[float, list[float]]
    baselines: dict[str, list[float]]
    baseline_transport: dict[str, list[float]]
    floor_energy: float
    floor_transport: float
    velocity_error: list[float]
    score_error: list[float]
    slopes: dict[str, list[float]]
    evaluations: dict[str, list[float]]
    shown: dict[str, Float[np.ndarray, "test dim"]]


class TwoNetworks(eqx.Module):
    """Velocity and latent, each by a network of its own.

    Arguments:
        velocity, latent: networks `F(t, x)`.
    """

    velocity: ResidualMLP
    latent: ResidualMLP

    def __call__(self, t, x, condition) -> tuple[Array, Array]:
        """Both predictions."""
        return self.velocity(t, x), self.latent(t, x)


class OneNetwork(eqx.Module):
    """One prediction.

    Arguments:
        network: `F(t, x)`.
    """

    network: ResidualMLP

    def __call__(self, t, x, condition) -> Array:
        """The prediction."""
        return self.network(t, x)


def mixture_problem(setup: Setup, dim: int, modes: int, distance: float, key: Array) -> Problem:
    """Between two mixtures of modes with deviation 1/2, in random directions at one distance from the middle."""
    mode_key, *keys = jax.random.split(key, 5)
    means = jax.random.normal(mode_key, (2, modes, dim))
    means = distance * means / jnp.linalg.norm(means, axis=-1, keepdims=True)
    source, target = (GaussianMixture.of(np.asarray(one), 0.25) for one in means)
    path = Linear(latent="brownian", strength=2.0, law=None)

    def draw(law: GaussianMixture, key: Array, count: int) -> np.ndarray:
        # Equally many of each mode: otherwise distances are ruled by how many happen to fall to each.
        noise_key, order_key = jax.random.split(key)
        noise = 0.5 * jax.random.normal(noise_key, (count, dim))
        return np.asarray(jax.random.permutation(order_key, law.means[jnp.arange(count) % modes] + noise))

    return Problem(
        f"mixtures in {dim} dimensions",
        draw(target, keys[0], setup.data),
        draw(target, keys[1], setup.samples),
        draw(source, keys[2], setup.data),
        draw(source, keys[3], setup.samples),
        exact_fields(path, target, source),
    )


def planar_problem(setup: Setup, density, key: Array) -> Problem:
    """From noise to a density in the plane."""
    keys = jax.random.split(key, 3)
    return Problem(
        "checkerboard",
        np.asarray(density(keys[0], setup.data)),
        np.asarray(density(keys[1], setup.samples)),
        None,
        np.asarray(jax.random.normal(keys[2], (setup.samples, 2))),
        None,
    )


def compare(setup: Setup, problem: Problem, key: Array) -> Sampled:
    """Train the interpolant and its baselines, and sample from them in every way."""
    interpolant_key, flow_key, diffusion_key, sample_key, floor_key = jax.random.split(key, 5)
    law = Linear().law if problem.source is None else None
    latent = Linear(latent="brownian", strength=2.0, law=law)
    interpolant = _trained(setup, problem, latent, ("velocity", "latent"), interpolant_key)
    flow = _trained(setup, problem, Linear(law=law), ("velocity",), flow_key)
    diffusion = _trained(setup, problem, VariancePreserving(), ("noise",), diffusion_key)

    energy = {eps: [] for eps in setup.strengths}
    halved, transport = {eps: [] for eps in setup.strengths}, {eps: [] for eps in setup.strengths}
    baselines, baseline_transport = (
        {name: [] for name in ("flow matching", "diffusion, ODE", "diffusion, SDE")} for _ in range(2)
    )
    errors, slopes, evaluations, shown = [], {"latent": [], "no latent": []}, {"latent": [], "no latent": []}, {}
    starts = jnp.asarray(problem.starts)
    noise = jax.vmap(lambda key: VariancePreserving().start(key, starts.shape[1:]))(
        jax.random.split(floor_key, len(starts))
    )
    for seed in range(setup.seeds):
        latent_key, pair_key, *keys = jax.random.split(jax.random.fold_in(sample_key, seed), 2 + len(setup.strengths))
        fields, plain, vp = (pick_seed(model, seed) for model in (interpolant, flow, diffusion))
        begin = latent.span[0]
        veiled = latent.point(begin, starts, jnp.zeros_like(starts), jax.random.normal(latent_key, starts.shape))
        for eps, noise_key in zip(setup.strengths, keys, strict=True):
            for steps, where in ((setup.sampler_steps, energy), (setup.sampler_steps // 2, halved)):
                if where is halved and seed > 0:
                    continue
                # The ODE takes as many evaluations in half the steps.
                sampler = EulerMaruyama(steps, eps) if eps else Heun(steps // 2)
                found = np.asarray(sample(fields, veiled, sampler, key=noise_key))
                where[eps].append(energy_distance(found, problem.test))
                if where is energy:
                    transport[eps].append(wasserstein2(found[: setup.assigned], problem.test[: setup.assigned]))
                    if seed == 0:
                        shown[f"eps = {eps:g}" if eps else "ODE"] = found
        half = setup.sampler_steps // 2
        reverse = EulerMaruyama(setup.sampler_steps, ReverseDiffusion(tapered=False))
        for name, model, where, sampler in (
            ("flow matching", plain, starts, Heun(half, UniformTime(0.0, 1.0))),
            ("diffusion, ODE", vp, noise, Heun(half)),
            ("diffusion, SDE", vp, noise, reverse),
        ):
            found = np.asarray(sample(model, where, sampler, key=keys[-1]))
            baselines[name].append(energy_distance(found, problem.test))
            baseline_transport[name].append(wasserstein2(found[: setup.assigned], problem.test[: setup.assigned]))
            if seed == 0:
                shown[name] = found
        pairs = _fresh_pairs(problem, pair_key)
        for name, model, where in (("latent", fields, veiled), ("no latent", plain, starts)):
            slopes[name].append(float(_slope(model, pairs, pair_key)))
            evaluations[name].append(float(_evaluations(model, where[:64])))
        if problem.exact is not None:
            times = jnp.linspace(0.01, 0.99, 25)
            found = field_errors(fields, problem.exact, pairs, times, key=latent_key)
            errors.append((float(found.velocity.mean()), float(found.score.mean())))
    other = problem.target[: setup.samples]
    return Sampled(
        energy,
        halved,
        transport,
        baselines,
        baseline_transport,
        energy_distance(other, problem.test),
        wasserstein2(other[: setup.assigned], problem.test[: setup.assigned]),
        [one[0] for one in errors],
        [one[1] for one in errors],
        slopes,
        evaluations,
        shown,
    )


def _trained(setup: Setup, problem: Problem, path: AffinePath, predicts: Sequence[Kind], key: Array) -> Fields:
    """The averages of the weights, a row for each seed."""
    dim = problem.target.shape[1]

    def network(key: Array) -> ResidualMLP:
        return ResidualMLP(dim, setup.width, setup.depth, key=key)

    def model(key: Array) -> Fields:
        if len(predicts) == 1:
            return Fields(path, OneNetwork(network(key)), predicts)
        return Fields(path, TwoNetworks(*map(network, jax.random.split(key))), predicts)

    coupling = Independent(problem.target)
    if path.law is None and problem.source is not None:
        coupling = Independent(problem.target, problem.source)
    average = fit(
        model,
        coupling.data,
        Regression(coupling),
        steps=setup.steps,
        batch_size=setup.batch_size,
        optimiser=optax.chain(
            optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(setup.rate, setup.steps))
        ),
        ema=setup.ema,
        seeds=setup.seeds,
        key=key,
    ).ema_model
    assert average is not None
    return average


def _fresh_pairs(problem: Problem, key: Array) -> Pairs:
    count = min(1000, len(problem.test))
    rows = jax.random.permutation(key, len(problem.starts))[:count]
    return Pairs(jnp.asarray(problem.starts)[rows], jnp.asarray(problem.test)[:count])


@eqx.filter_jit
def _slope(fields: Fields, pairs: Pairs, key: Array) -> Float[Array, ""]:
    """The root mean square over the path of the Frobenius norm of `db/dx`, divided by the root of the dimension."""
    path = fields.path

    def square(source: Array, target: Array, key: Array) -> Array:
        time_key, latent_key, probe_key = jax.random.split(key, 3)
        t = jax.random.uniform(time_key, minval=1e-2, maxval=1 - 1e-2)
        latent = jax.random.normal(latent_key, source.shape) if path.has_latent else None
        probe = jax.random.rademacher(probe_key, source.shape, source.dtype)
        x = path.point(t, source, target, latent)
        return jnp.mean(jax.jvp(lambda x: fields.velocity(t, x), (x,), (probe,))[1] ** 2)

    return jnp.sqrt(jnp.mean(jax.vmap(square)(pairs.source, pairs.target, jax.random.split(key, len(pairs)))))


@eqx.filter_jit
def _evaluations(fields: Fields, starts: Array) -> Float[Array, ""]:
    solver = Adaptive(1e-4)
    return jnp.mean(jax.vmap(lambda start: nfe(solver.solve(fields, start), solver.solver))(starts).astype(float))
