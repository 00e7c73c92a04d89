"""The integrals of one step of DPM-Solver-v3, with curves that are linear between the points of the statistics."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pathline.generate.model_statistics import ModelStatistics

POWERS = 4
"""Moments that are kept: of the constant and of three derivatives."""


@dataclass(frozen=True)
class StatisticalStep:
    """What the step from `lambda_s` to `lambda_t` needs of the curves `l, s, b`. All is relative to the step's own start, so
    that no exponential overflows on wide ranges of `lambda`.

    Arguments:
        keep: `A = e^(-int_s^t l)`.
        moments: `int_s^t E (lambda - lambda_s)^k dlambda` with `E = e^(int_s^lambda (l + s))`, for `k = 0, 1, 2, 3`.
        constant: `int_s^t E B dlambda` with `B(lambda) = int_s^lambda e^(-int_s^r s) b dr`.
        growth: `e^(int_s^t s)`.
        shift: `B(lambda_t)`.

    Source: Zheng et al., DPM-Solver-v3, 2023, equations 11 to 14; the paper integrates by the trapezoid rule on the points.
    """

    keep: Float[np.ndarray, "*shape"]
    moments: Float[np.ndarray, "power *shape"]
    constant: Float[np.ndarray, "*shape"]
    growth: Float[np.ndarray, "*shape"]
    shift: Float[np.ndarray, "*shape"]

    @classmethod
    def of(cls, statistics: ModelStatistics, begin: float, end: float) -> "StatisticalStep":
        """The integrals, by Gauss's rule between the points."""
        low, high = min(begin, end), max(begin, end)
        inside = statistics.half_log_snr[(statistics.half_log_snr > low) & (statistics.half_log_snr < high)]
        edges = np.concatenate([[begin], inside if begin < end else inside[::-1], [end]])
        length = np.diff(edges)
        nodes = edges[:-1, None] + length[:, None] * _NODES
        l_edge, s_edge, _ = statistics.at(edges)
        l, s, b = (curve.reshape(*nodes.shape, *curve.shape[1:]) for curve in statistics.at(nodes.reshape(-1)))
        trailing = l.ndim - 2
        panel = length.reshape(-1, *(1,) * trailing)
        part = panel[:, None] * _NODES.reshape(-1, *(1,) * trailing)
        # l and s are linear within a panel, so the trapezoid rule is exact for both.
        l_total = _running(0.5 * panel * (l_edge[:-1] + l_edge[1:]))
        s_total = _running(0.5 * panel * (s_edge[:-1] + s_edge[1:]))
        l_inner = l_total[:-1, None] + 0.5 * part * (l_edge[:-1, None] + l)
        s_inner = s_total[:-1, None] + 0.5 * part * (s_edge[:-1, None] + s)
        fading = np.exp(-s_inner) * b
        b_total = _running(panel * np.einsum("i,pi...->p...", _WEIGHTS, fading))
        b_inner = b_total[:-1, None] + panel[:, None] * np.einsum("ij,pj...->pi...", _INNER_WEIGHTS, fading)
        weight = np.exp(l_inner + s_inner) * (panel[:, None] * _WEIGHTS.reshape(-1, *(1,) * trailing))
        powers = (nodes - begin) ** np.arange(POWERS)[:, None, None]
        return cls(
            # Curves may be one number for all entries, and reductions then leave scalars.
            keep=np.asarray(np.exp(-l_total[-1])),
            moments=np.einsum("kpi,pi...->k...", powers, weight),
            constant=np.asarray(np.sum(weight * b_inner, axis=(0, 1))),
            growth=np.asarray(np.exp(s_total[-1])),
            shift=np.asarray(b_total[-1]),
        )


def taylor_weights(distances: Float[np.ndarray, " node"], *, pseudo: bool) -> Float[np.ndarray, "power node"]:
    """From differences `g_j - g_s` to the Taylor coefficients `g^(k)/k!` at `lambda_s`, for `k` from 1 to the number of nodes.

    The true ones solve the Vandermonde system `sum_k distance_j^k g^(k)/k! = g_j - g_s`. A pseudo derivative is the divided
    difference over `s` and the first `k` nodes only, so that the lower ones ignore what is farther away.

    Arguments:
        distances: `lambda_j - lambda_s`, in the order in which the nodes are to be used.
        pseudo: take pseudo derivatives.

    Source: Zheng et al., DPM-Solver-v3, 2023, section 3.2.2 and appendix D (pseudo-order).
    """
    count = len(distances)
    if not pseudo:
        return np.linalg.inv(distances[:, None] ** np.arange(1, count + 1))
    weights = np.zeros((count, count))
    places = np.append(0.0, distances)
    for power in range(1, count + 1):
        for node in range(1, power + 1):
            others = np.delete(places[: power + 1], node)
            weights[power - 1, node - 1] = 1 / np.prod(places[node] - others)
    return weights


def _running(parts: Float[np.ndarray, "panel *shape"]) -> Float[np.ndarray, "edge *shape"]:
    """Sums of the first parts, from none to all."""
    return np.concatenate([np.zeros_like(parts[:1]), np.cumsum(parts, axis=0)])


def _gauss(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss's rule on [0, 1], and the weights of integrals from 0 to each node."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights = 0.5 * (nodes + 1), 0.5 * weights
    powers = np.arange(count)
    inner = (nodes[:, None] ** (powers + 1) / (powers + 1)) @ np.linalg.inv(nodes[:, None] ** powers)
    return nodes, weights, inner


_NODES, _WEIGHTS, _INNER_WEIGHTS = _gauss(6)
