"""What exponential integrators share: the linear part of the probability-flow ODE is solved exactly.

With `lambda = log(b/a)` the ODE of an affine path from noise is, for a state divided by one of the two scales,

    d(x/a)/dlambda =  e^lambda  D(x)      with the data prediction D  (DPM-Solver++, UniPC)
    d(x/b)/dlambda = -e^-lambda eps(x)    with the noise prediction eps  (DPM-Solver)

or `d(x/c)/dlambda = q e^(q lambda) f` with `c = a, q = 1, f = D` or `c = b, q = -1, f = eps`. What is left is the integral of
`f`, which is replaced by a polynomial in `lambda` through earlier (or, in a corrector, newer) predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from pathline.errors import InputError
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import schedule
from pathline.generate.samplers.grids import Grid

Expanded = Literal["noise", "data"]
"""The prediction that is expanded in `lambda`."""


@dataclass(frozen=True)
class Expansion:
    """The scales of a path at the times of a sampler, for one of the two forms of the ODE.

    Arguments:
        expanded: which prediction is replaced by a polynomial.
        times: of the steps.
        half_log_snr: `lambda` there.
        scale: `c`, by which the state is divided.
        other: the other one of `a` and `b`.
    """

    expanded: Expanded
    times: Float[np.ndarray, " time"]
    half_log_snr: Float[np.ndarray, " time"]
    scale: Float[np.ndarray, " time"]
    other: Float[np.ndarray, " time"]

    @classmethod
    def of(cls, path: AffinePath, expanded: Expanded, times: Float[np.ndarray, " time"]) -> "Expansion":
        """The scales of a path at these times.

        Raises:
            InputError: the path does not start from noise, or has a latent.
        """
        check_from_noise(path)
        noise, signal = (schedule(path, f"{end}_scale", times) for end in ("source", "target"))
        # Rounding leaves a trifle where a scale should vanish.
        noise, signal = (np.where(np.abs(part) < _NOTHING, 0.0, part) for part in (noise, signal))
        with np.errstate(divide="ignore"):
            half_log_snr = np.log(signal) - np.log(noise)
        scale, other = (noise, signal) if expanded == "data" else (signal, noise)
        return cls(expanded, times, half_log_snr, scale, other)

    @property
    def sign(self) -> int:
        """`q`."""
        return 1 if self.expanded == "data" else -1

    def finite(self, place: int) -> bool:
        """Whether `lambda` is finite at a time: where there is no noise or no signal it is not."""
        return bool(np.isfinite(self.half_log_snr[place]))

    def ratio(self, begin: int, end: int) -> float:
        """`c_t / c_s`: the state's weight in the step from `s` to `t`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.scale[end] / self.scale[begin])

    def constant(self, begin: int, end: int) -> float:
        """`c_t int_s^t q e^(q lambda) dlambda`, the weight of a constant `f`: all of the step of order 1 (DDIM)."""
        return float(self.other[end] - self.ratio(begin, end) * self.other[begin])

    def integrals(self, begin: int, end: int, count: int) -> Float[np.ndarray, " power"]:
        """`c_t int_s^t q e^(q lambda) r^k dlambda` with `r = (lambda - lambda_s) / h`, for `k = 1..count`.

        By Gauss's rule: the recursion by parts loses digits in short steps.
        """
        if not count:
            return np.zeros(0)
        z = self.sign * (self.half_log_snr[end] - self.half_log_snr[begin])
        powers = np.arange(1, count + 1)[:, None]
        moments = z * (np.exp(z * _NODES) * _NODES**powers) @ _WEIGHTS
        return self.ratio(begin, end) * self.other[begin] * moments

    def weights(
        self, begin: int, end: int, nodes: Sequence[int], integrals: Float[np.ndarray, " power"] | None = None
    ) -> tuple[float, Float[np.ndarray, " node"]]:
        """The weights of `f_s` and of `f` at further nodes in the step from `s` to `t`,
        `x_t = (c_t/c_s) x_s + c_t int q e^(q lambda) p(lambda) dlambda`, with the polynomial `p` through all of them.

        Arguments:
            begin, end: places of `s` and `t` among the times.
            nodes: places of the other nodes; none gives order 1.
            integrals: what stands for the integrals of the powers, one for each node; the exact ones when absent.

        Returns:
            The weight of `f_s`, and those at the nodes.
        """
        constant = self.constant(begin, end)
        if not nodes:
            return constant, np.zeros(0)
        if integrals is None:
            integrals = self.integrals(begin, end, len(nodes))
        step = self.half_log_snr[end] - self.half_log_snr[begin]
        places = (self.half_log_snr[list(nodes)] - self.half_log_snr[begin]) / step
        found = np.linalg.solve(places[None, :] ** np.arange(1, len(nodes) + 1)[:, None], integrals)
        return float(constant - found.sum()), found


def history(expansion: Expansion, newest: int, order: int) -> list[int]:
    """The places before `newest` at which earlier predictions can be used, newest first, for a polynomial of this order:
    those with finite `lambda`."""
    if not expansion.finite(newest):
        return []
    return [place for place in range(newest - 1, max(newest - order, -1), -1) if expansion.finite(place)]


def multistep_orders(expansion: Expansion, order: int, *, lower_order_final: bool) -> list[int]:
    """The order of each step: rising at the start as predictions come in, and 1 to where there is no noise left.

    Arguments:
        expansion: with the times.
        order: the highest.
        lower_order_final: fall again at the end, for few steps: no higher than the number of steps that are left.
    """
    steps = len(expansion.times) - 1
    orders = []
    for step in range(steps):
        most = min(order, steps - step) if lower_order_final else order
        found = 1 + len(history(expansion, step, most))
        orders.append(found if expansion.finite(step + 1) else 1)
    return orders


def sampling_times(path: AffinePath, grid: Grid, steps: int, order: int, highest: int) -> Float[np.ndarray, " time"]:
    """The times of a sampler's steps, after a look at its order.

    Raises:
        InputError: there is no such order, or the grid does not fit.
    """
    if not 1 <= order <= highest:
        raise InputError(f"There is no order {order} of this sampler; give one from 1 to {highest}.")
    return grid.times(path, steps)


def check_from_noise(path: AffinePath) -> None:
    """Refuse paths on which the ODE is not semilinear in `lambda`.

    Raises:
        InputError: the path has a latent, or starts from data.
    """
    if path.has_latent or path.law is None:
        what = "has a latent" if path.has_latent else "starts from data"
        raise InputError(
            f"The path {type(path).__name__} {what}, and exponential integrators need noise at one end and nothing else; use "
            "Heun or RK4."
        )


def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss's rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1), 0.5 * weights


_NODES, _WEIGHTS = _gauss(32)
_NOTHING = 1e-12
