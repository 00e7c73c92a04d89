"""What a model can predict about a noisy state, and the linear algebra that turns one prediction into another.

Given a state `x` at time `t` on an affine path there are three unknown means: of the source `x0`, of the target `x1`
and of the latent `z`. The latent stands here through the score, `E[z] = -gamma s`, which keeps everything finite where
`gamma` vanishes. Every prediction is a linear combination of them, a *row*:

    kind       x0          x1     s
    (state)    a           b      -gamma^2
    velocity   a'          b'     -gamma gamma'
    transport  a'          b'     0
    noise      1           0      0
    data       0           1      0
    v          b          -a      0
    latent     0           0      -gamma
    score      0           0      1              (without a latent and with Gaussian noise: -1/a, 0, 0)

The state itself is known, so one prediction determines all on a path without a latent, and two on a path with one.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError, nearest
from pathline.generate.paths import AffinePath, Time
from pathline.generate.paths.base import as_time, rates

Kind = Literal["velocity", "transport", "noise", "data", "v", "latent", "score"]
"""What is predicted, each as a mean given the state: `"velocity"` of `dx_t/dt`, `"transport"` of `dI/dt`, `"noise"` of
the source `x0`, `"data"` of the target `x1`, `"v"` of `b x0 - a x1`, `"latent"` of `z`; and `"score"`, `grad log rho_t`."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind of prediction."""


def conversion(
    path: AffinePath, known: Sequence[Kind], wanted: Kind, t: Time
) -> tuple[Float[Array, ""], Float[Array, " known"]]:
    """The weights with which the state and the known predictions add up to the wanted one,
    `wanted = w_x x + sum_k w_k known_k`.

    Arguments:
        path: the path.
        known: the kinds that a model predicts; without a latent one is enough, with a latent two are, unless the wanted
            one is among them.
        wanted: the kind to be computed.
        t: the time.

    Returns:
        `w_x` and `w_k`. They are infinite where the conversion is singular, e.g. data from noise where there is
        no signal.

    Raises:
        InputError: the known kinds do not determine the wanted one.

    Source: Albergo et al., Stochastic Interpolants, 2025, equations 4.4 and 4.5; Cramer's rule.
    """
    check_kinds(path, (*known, wanted))
    zero, one = jnp.zeros_like(as_time(t)), jnp.ones_like(as_time(t))
    for place, kind in enumerate(known):
        if kind == wanted:
            return zero, jnp.stack([one if other == place else zero for other in range(len(known))])
        if path.has_latent and {kind, wanted} == {"latent", "score"}:
            scale = -path.latent_scale(t)
            weight = scale if wanted == "latent" else 1 / scale
            return zero, jnp.stack([weight if other == place else zero for other in range(len(known))])
    needed = 2 if path.has_latent else 1
    # A latent and its score say the same, so only one of the two counts.
    used = [place for place, kind in enumerate(known) if not (kind == "score" and "latent" in known)][:needed]
    if len(used) < needed:
        raise InputError(
            f"{wanted!r} cannot be computed from {' and '.join(map(repr, known)) or 'nothing'} on {_named(path)}; predict "
            f"{'two of' if needed == 2 else 'one of'} {', '.join(map(repr, possible(path)))}."
        )
    rows = [_state_row(path, t), *(_row(path, known[place], t) for place in used)]
    goal = _row(path, wanted, t)
    if not path.has_latent:
        rows, goal = [row[:2] for row in rows], goal[:2]
    # Cramer's rule: each weight is the determinant with its row replaced by the wanted one.
    whole = _determinant(rows)
    weights = [_determinant([*rows[:place], goal, *rows[place + 1 :]]) / whole for place in range(len(rows))]
    by_place = dict(zip(used, weights[1:], strict=True))
    return weights[0], jnp.stack([by_place.get(place, zero) for place in range(len(known))])


def truth(
    path: AffinePath, kind: Kind, t: Time, source: Float[Array, "*shape"], target: Float[Array, "*shape"], latent: Array
) -> Float[Array, "*shape"]:
    """What a prediction of this kind is the mean of: the target of its regression.

    Arguments:
        path: the path.
        kind: of the prediction.
        t: the time.
        source, target: the ends of one pair.
        latent: the latent `z` of the same shape; not looked at on a path without one.
    """
    if kind == "noise":
        return source
    if kind == "data":
        return target
    if kind == "latent":
        return latent
    if kind == "v":
        return path.target_scale(t) * source - path.source_scale(t) * target
    if kind == "score":
        return -latent / path.latent_scale(t) if path.has_latent else -source / path.source_scale(t)
    if kind == "transport":
        return path.transport(t, source, target)
    return path.velocity(t, source, target, latent)


def possible(path: AffinePath) -> tuple[Kind, ...]:
    """The kinds that make sense on a path."""
    absent = set() if path.has_latent else {"latent"}
    if not path.has_score:
        absent.add("score")
    return tuple(kind for kind in KINDS if kind not in absent)


def check_kinds(path: AffinePath, kinds: Sequence[str]) -> None:
    """Refuse kinds that make no sense on a path.

    Raises:
        InputError: there is no such kind, the path has no latent, or its noise has no score.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"There is no prediction {kind!r}{nearest(kind, KINDS)}; there are {', '.join(KINDS)}.")
        if kind == "latent" and not path.has_latent:
            raise InputError(f"{_named(path)} has no latent to predict; give it one, or predict 'noise' or 'data'.")
        if kind == "score" and not path.has_score:
            what = "starts from data" if path.law is None else f"has noise of the law {path.law}"
            raise InputError(
                f"{_named(path)} {what}, so no score is known on it; use an ODE sampler, or a path with Gaussian noise or a "
                "latent."
            )


def schedule(path: AffinePath, quantity: str, times: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """A function of time that the path has, e.g. `"half_log_snr"`, in double precision for the tables of samplers."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return np.asarray(jax.vmap(getattr(path, quantity))(jnp.asarray(times, jnp.float64)))


def conversions(
    path: AffinePath, known: Sequence[Kind], wanted: Kind, times: Float[np.ndarray, " time"]
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, "time known"]]:
    """`conversion` at many times, in double precision; infinite where it is singular."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        found = jax.vmap(lambda t: conversion(path, known, wanted, t))(jnp.asarray(times, jnp.float64))
    # Where a scale should vanish rounding leaves a trifle: cos(pi/2) is 6e-17.
    state, weights = (np.where(np.abs(part) < _SINGULAR, part, np.inf) for part in map(np.asarray, found))
    return state, weights


def solvable_span(path: AffinePath, known: Sequence[Kind], first: float, last: float) -> tuple[float, float]:
    """The times between which the velocity follows from what a model predicts: `first` and `last`, each moved inwards by
    1e-4 where it does not (the data do not tell it where there is no noise left).

    Arguments:
        path: the path.
        known: the kinds that a model predicts.
        first, last: where a solver is to begin and to end, in either direction.

    Raises:
        InputError: the predictions determine no velocity at all.
    """
    state, weights = conversions(path, known, "velocity", np.asarray([first, last]))
    fine = np.isfinite(state) & np.isfinite(weights).all(axis=1)
    short = float(np.copysign(_SHORT, last - first))
    return first + (0.0 if fine[0] else short), last - (0.0 if fine[1] else short)


_SHORT = 1e-4
_SINGULAR = 1e9


def _state_row(path: AffinePath, t: Time) -> list[Array]:
    return [path.source_scale(t), path.target_scale(t), -path.latent_variance(t)]


def _row(path: AffinePath, kind: Kind, t: Time) -> list[Array]:
    time = as_time(t)
    zero, one = jnp.zeros_like(time), jnp.ones_like(time)
    if kind == "noise":
        return [one, zero, zero]
    if kind == "data":
        return [zero, one, zero]
    if kind == "latent":
        return [zero, zero, -path.latent_scale(t)]
    if kind == "score":
        return [zero, zero, one] if path.has_latent else [-1 / path.source_scale(t), zero, zero]
    (source, source_rate), (target, target_rate) = rates(path.source_scale, t), rates(path.target_scale, t)
    if kind == "v":
        return [target, -source, zero]
    if kind == "transport":
        return [source_rate, target_rate, zero]
    return [source_rate, target_rate, -0.5 * rates(path.latent_variance, t)[1]]


def _determinant(rows: Sequence[Sequence[Array]]) -> Array:
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    (a, b, c), rest = rows[0], rows[1:]

    def minor(left: int, right: int) -> Array:
        return rest[0][left] * rest[1][right] - rest[0][right] * rest[1][left]

    return a * minor(1, 2) - b * minor(0, 2) + c * minor(0, 1)


def _named(path: AffinePath) -> str:
    return f"the path {type(path).__name__}"
