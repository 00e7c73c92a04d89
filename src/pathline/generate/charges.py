"""Data as electric charges: the exact fields of samples, and of mixtures under heavy-tailed noise.

With Student's law the noisy density is, up to a factor, the potential of charges on a plane in `N + D` dimensions seen at
the distance `r = sigma sqrt(D)`, and the velocity is that of its field lines, `dx/dr = E_x / E_r`. Both come from one mean,
`x - E[y | x] = r E_x / E_r`.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import NoiseLaw
from pathline.generate.paths import AffinePath, Time


def empirical_fields(
    path: AffinePath,
    samples: Float[Array | np.ndarray, "sample *shape"],
    weights: Float[Array | np.ndarray, " sample"] | None = None,
) -> Fields:
    """The exact fields of a path from noise to the samples themselves, each a point charge.

    Flows along them end at a sample. For a smooth density around the samples use `exact_fields` with a mixture.

    Arguments:
        path: from noise of any law.
        samples: the charges.
        weights: of the samples; equal when absent.

    Returns:
        Fields that predict `"data"`.

    Raises:
        InputError: the path does not start from noise.

    Source: Xu et al., PFGM++, 2023, section 3.
    """
    if path.law is None:
        raise InputError(
            f"The fields of samples are known from noise only, and {type(path).__name__} has no law of it."
        )
    charges = jnp.asarray(samples)
    shares = jnp.ones(len(charges)) if weights is None else jnp.asarray(weights)
    return Fields(path, ChargeDenoiser(charges, jnp.log(shares), path), "data")


class ChargeDenoiser(eqx.Module):
    """`E[x1 | x_t = x] = sum_i w_i y_i / sum_i w_i`, with `w_i` the density of noise that leads from `y_i` to `x`: for
    Student's law `(|x - b y_i|^2 + r^2)^(-(N+D)/2)` with `r = a sqrt(D)`.

    Arguments:
        charges: `y_i`.
        log_weights: what each counts for, as a logarithm.
        path: the path, with a law.
    """

    charges: Float[Array, "charge *shape"]
    log_weights: Float[Array, " charge"]
    path: AffinePath

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """The denoised state."""
        law = self.path.law
        assert isinstance(law, NoiseLaw)
        scale, level = (part.astype(x.dtype) for part in (self.path.target_scale(t), self.path.source_scale(t)))
        charges = self.charges.astype(x.dtype).reshape(len(self.charges), -1)
        # The difference first: a square by its three parts has no digits left where the noise is small.
        square = jnp.sum((x.reshape(-1) - scale * charges) ** 2, axis=1) / level**2
        weight = jax.nn.softmax(self.log_weights.astype(x.dtype) + law.log_kernel(square, x.size))
        return (weight @ charges).reshape(x.shape)


def heavy_tailed_mean(
    degrees: float,
    size: int,
    farthest: Float[Array, ""],
    level: Float[Array, ""],
    log_evidence: Callable[[Float[Array, ""]], Float[Array, ""]],
    mean: Callable[[Float[Array, ""]], Float[Array, "*shape"]],
    *,
    nodes: int | None = None,
) -> Float[Array, "*shape"]:
    """A mean under Student's noise from those under Gaussian noise:

        E[y | x] = int p(u) p(x | u) E[y | x, u] du / int p(u) p(x | u) du,    u ~ Gamma(D/2, rate D/2)

    where given `u` the noise is Gaussian of the level `a / sqrt(u)`. Where a Gaussian denoiser is told the level, this
    one infers from the state how large the noise really was: that is why few degrees forgive a wrong level.

    The integral is the trapezoidal rule in `log u` around the largest integrand, which a coarser rule finds first.

    Arguments:
        degrees: `D`.
        size: `N`, how many entries the state has.
        farthest: at least the largest `|x - b y|^2` over the data; it says where in `u` to look.
        level: `a`.
        log_evidence: the logarithm of the density of the state under Gaussian noise of a given level.
        mean: the mean under Gaussian noise of a given level.
        nodes: of the rule. When absent 12 from `D = 16` on, which give five digits, and 24 below, which give four.

    Source: Xu et al., PFGM++, 2023, section 3, with Student's law as a mixture over scales.
    """
    half = 0.5 * degrees
    nodes = nodes or (12 if degrees >= 16 else 24)

    def log_joint(v: Array) -> Array:
        # With the density of v = log u, less its value at the mode.
        return jax.vmap(lambda v: log_evidence(level * jnp.exp(-0.5 * v)))(v) + half * (v - jnp.expm1(v))

    # The mode lies between those for noise far larger and far smaller than the data.
    low, high = -jnp.log1p(farthest / (degrees * level**2)), jnp.log1p(size / degrees)
    coarse = jnp.linspace(0.0, 1.0, 2 * nodes, dtype=level.dtype) * (high - low) + low
    joint = log_joint(coarse)
    best = jnp.clip(jnp.argmax(joint), 1, 2 * nodes - 2)
    before, at, after = joint[best - 1], joint[best], joint[best + 1]
    step = coarse[1] - coarse[0]
    bend = jnp.maximum((2 * at - before - after) / step**2, half / (1 + half))
    mode = coarse[best] + jnp.clip(0.5 * (after - before) / (step**2 * bend), -1.0, 1.0) * step
    left, right = _reach(_NEGLIGIBLE / bend)
    fine = mode + left + jnp.linspace(0.0, 1.0, nodes, dtype=level.dtype) * (right - left)
    share = jax.nn.softmax(log_joint(fine))
    return jnp.tensordot(share, jax.vmap(lambda v: mean(level * jnp.exp(-0.5 * v)))(fine), 1)


def _reach(fall: Array) -> tuple[Array, Array]:
    """How far to the left and to the right of its mode the density of the logarithm of a Gamma variable of shape `k` has
    fallen by `k fall` in the logarithm: the roots of `exp(v) - v - 1 = fall`."""
    root = jnp.sqrt(2 * fall)
    left = -(root + fall)
    for _ in range(3):
        left = jnp.exp(left) - 1 - fall
    return left, jnp.log1p(fall + root)


_NEGLIGIBLE = 15.0
"""The fall of the logarithm beyond which nothing is left of an integrand."""
