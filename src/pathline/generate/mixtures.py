"""Gaussian mixtures, whose fields are known exactly on every affine path: oracles, teachers and baselines."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.charges import heavy_tailed_mean
from pathline.generate.fields import Fields
from pathline.generate.laws import StudentT
from pathline.generate.paths import AffinePath, Time
from pathline.generate.paths.base import rates


class GaussianMixture(eqx.Module):
    """`sum_k w_k N(m_k, C_k)` over states of any one shape, which are flattened inside.

    Arguments:
        log_weights: `log w_k`.
        means: `m_k`, one row for each component.
        variances: of each component along its axes; one column when all its axes are alike.
        axes: the orthogonal axes of each component as columns; `None` for the coordinate axes.
        shape: of one state.
    """

    log_weights: Float[Array, " component"]
    means: Float[Array, "component dim"]
    variances: Float[Array, "component axis"]
    axes: Float[Array, "component dim dim"] | None
    shape: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        means: Float[Array | np.ndarray, "component *shape"],
        covariances: Float[Array | np.ndarray, "component ..."] | float,
        weights: Float[Array | np.ndarray, " component"] | None = None,
    ) -> "GaussianMixture":
        """A mixture of given means and covariances.

        Arguments:
            means: one state for each component.
            covariances: one variance for all; or for each component one variance `[component]`, one for each entry
                `[component, dim]`, or a whole matrix `[component, dim, dim]`.
            weights: of the components; equal when absent.

        Raises:
            InputError: the shapes do not fit.
        """
        means = jnp.asarray(means)
        flat = means.reshape(len(means), -1)
        count, dim = flat.shape
        given = jnp.asarray(covariances, flat.dtype)
        axes = None
        if given.ndim == 0:
            variances = jnp.full((count, 1), given)
        elif given.shape == (count,):
            variances = given[:, None]
        elif given.shape == (count, dim):
            variances = given
        elif given.shape == (count, dim, dim):
            variances, axes = jnp.linalg.eigh(given)
            # Rounding makes the least eigenvalue of a singular matrix negative.
            variances = jnp.maximum(variances, 0.0)
        else:
            raise InputError(
                f"Covariances of the shape {given.shape} do not fit {count} components of {dim} entries; give one number, or "
                f"({count},), ({count}, {dim}) or ({count}, {dim}, {dim})."
            )
        weights = jnp.full(count, 1 / count, flat.dtype) if weights is None else jnp.asarray(weights, flat.dtype)
        return cls(jnp.log(weights / weights.sum()), flat, variances, axes, means.shape[1:])

    def sample(self, key: Array) -> Float[Array, "*shape"]:
        """One draw."""
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(component_key, self.log_weights)
        noise = jax.random.normal(noise_key, self.means.shape[1:], self.means.dtype)
        scaled = jnp.sqrt(self.variances[component]) * noise
        if self.axes is not None:
            scaled = self.axes[component] @ scaled
        return (self.means[component] + scaled).reshape(self.shape)

    def log_density(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The logarithm of the density at one state."""
        flat = x.reshape(-1)
        return jax.nn.logsumexp(self._log_joint(flat, 1.0, 0.0))

    def posterior_mean(
        self, x: Float[Array, "*shape"], scale: Float[Array, ""] | float, level: Float[Array, ""] | float
    ) -> Float[Array, "*shape"]:
        """`E[y | scale y + level n = x]` for `y` of this mixture and standard normal `n`: the exact denoiser."""
        flat = x.reshape(-1)
        weight = jax.nn.softmax(self._log_joint(flat, scale, level))
        # Each component pulls by the share of the signal in the variance along each axis.
        total = scale**2 * self.variances + level**2
        gain = scale * self.variances / total
        if self.axes is None and self.variances.shape[1] == 1:
            # E = (1 - scale gain) m + gain x, without an array of components by entries.
            inner = (weight * (1 - scale * gain[:, 0])) @ self.means + (weight @ gain[:, 0]) * flat
            return inner.reshape(x.shape)
        residual = flat - scale * self.means
        if self.axes is None:
            pulled = gain * residual
        else:
            along = jnp.einsum("kda,kd->ka", self.axes, residual)
            pulled = jnp.einsum("kda,ka->kd", self.axes, gain * along)
        return (weight @ (self.means + pulled)).reshape(x.shape)

    def heavy_tailed_mean(
        self,
        x: Float[Array, "*shape"],
        scale: Float[Array, ""] | float,
        level: Float[Array, ""],
        degrees: float,
    ) -> Float[Array, "*shape"]:
        """`E[y | scale y + level n = x]` for noise of Student's law: a mean of `posterior_mean` over levels."""
        # No component is farther away than this.
        farthest = (jnp.linalg.norm(x) + scale * jnp.linalg.norm(self.means, axis=1).max()) ** 2
        return heavy_tailed_mean(
            degrees,
            x.size,
            farthest,
            level,
            lambda level: jax.nn.logsumexp(self._log_joint(x.reshape(-1), scale, level)),
            lambda level: self.posterior_mean(x, scale, level),
        )

    def _log_joint(self, x: Array, scale: Array | float, level: Array | float) -> Array:
        """`log w_k + log N(x; scale m_k, scale^2 C_k + level^2)`."""
        dim = x.size
        total = scale**2 * self.variances + level**2
        if self.axes is None and self.variances.shape[1] == 1:
            # The square by its three parts: one product of a matrix and a vector.
            square = jnp.sum(x**2) - 2 * scale * (self.means @ x) + scale**2 * jnp.sum(self.means**2, axis=1)
            square, log_volume = square / total[:, 0], dim * jnp.log(total[:, 0])
        else:
            residual = x - scale * self.means
            if self.axes is not None:
                residual = jnp.einsum("kda,kd->ka", self.axes, residual)
            square = jnp.sum(residual**2 / total, axis=1)
            log_volume = jnp.sum(jnp.broadcast_to(jnp.log(total), residual.shape), axis=1)
        return self.log_weights - 0.5 * (square + log_volume + dim * math.log(2 * math.pi))


def exact_fields(path: AffinePath, target: GaussianMixture, source: GaussianMixture | None = None) -> Fields:
    """The exact fields of a path to a Gaussian mixture.

    Arguments:
        path: from noise (Gaussian, or of Student's law) when there is no source; else any affine path, with a latent or
            without.
        target: the law of the data. A kernel density estimate is one whose means are the samples.
        source: the law of the source, independent of the target; both with axes along the coordinates.

    Returns:
        Fields that predict `"data"` from noise, or `"velocity"` and (with a latent) `"score"` between two mixtures.

    Raises:
        InputError: the source is neither noise nor a mixture along the coordinates.

    Source: for two mixtures Albergo et al., Stochastic Interpolants, 2025, appendix A.
    """
    if source is None:
        if path.law is None:
            raise InputError(f"{type(path).__name__} has no law of noise to start from; give a source.")
        return Fields(path, MixtureDenoiser(target, path), "data")
    if source.axes is not None or target.axes is not None:
        raise InputError("Exact fields between two mixtures need covariances along the coordinates.")
    predicts = ("velocity", "score") if path.has_latent else ("velocity",)
    return Fields(path, MixtureBridge(source, target, path), predicts)


class MixtureDenoiser(eqx.Module):
    """`E[x1 | x_t = x]` for a mixture as the target and noise as the source.

    Arguments:
        target: the mixture.
        path: the path.
    """

    target: GaussianMixture
    path: AffinePath

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """The denoised state."""
        scale, level = self.path.target_scale(t), self.path.source_scale(t)
        scale, level = scale.astype(x.dtype), level.astype(x.dtype)
        if isinstance(self.path.law, StudentT):
            return self.target.heavy_tailed_mean(x, scale, level, self.path.law.degrees)
        return self.target.posterior_mean(x, scale, level)


class MixtureBridge(eqx.Module):
    """Velocity and score between two independent mixtures. With components `i` of the source and `j` of the target,
    `m_ij = a m0_i + b m1_j` and `C_ij = a^2 C0_i + b^2 C1_j + gamma^2`:

        b(t, x) = sum_ij w_ij(x) [m_ij' + C_ij' C_ij^-1 (x - m_ij) / 2],    s(t, x) = -sum_ij w_ij(x) C_ij^-1 (x - m_ij)

    Arguments:
        source, target: the mixtures.
        path: the path.
    """

    source: GaussianMixture
    target: GaussianMixture
    path: AffinePath

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Array | tuple[Array, Array]:
        """The velocity, and the score where the path has a latent."""
        flat = x.reshape(-1)
        log_weights, mean, variance, mean_rate, variance_rate = self.pairs(t, flat.dtype)
        scaled = (flat - mean) / variance
        volume = jnp.sum(jnp.broadcast_to(jnp.log(variance), scaled.shape), axis=1)
        weight = jax.nn.softmax(log_weights - 0.5 * (jnp.sum((flat - mean) * scaled, axis=1) + volume))
        velocity = (weight @ (mean_rate + 0.5 * variance_rate * scaled)).reshape(x.shape)
        if not self.path.has_latent:
            return velocity
        return velocity, -(weight @ scaled).reshape(x.shape)

    def density(self, t: Time) -> GaussianMixture:
        """The law of `x_t`, itself a mixture."""
        log_weights, mean, variance, _, _ = self.pairs(t, self.target.means.dtype)
        return GaussianMixture(log_weights, mean, variance, None, self.target.shape)

    def pairs(self, t: Time, dtype) -> tuple[Array, Array, Array, Array, Array]:
        """Log weights, means, variances and the rates of both, a row for each pair of components."""
        (a, a_rate), (b, b_rate) = rates(self.path.source_scale, t), rates(self.path.target_scale, t)
        latent, latent_rate = rates(self.path.latent_variance, t)
        a, a_rate, b, b_rate, latent, latent_rate = (
            part.astype(dtype) for part in (a, a_rate, b, b_rate, latent, latent_rate)
        )
        one, other = self.source, self.target

        def both(left: Array, right: Array) -> Array:
            left, right = jnp.broadcast_arrays(left[:, None], right[None])
            return (left + right).reshape(-1, *left.shape[2:])

        return (
            both(one.log_weights, other.log_weights),
            both(a * one.means, b * other.means),
            both(a**2 * one.variances, b**2 * other.variances) + latent,
            both(a_rate * one.means, b_rate * other.means),
            both(2 * a * a_rate * one.variances, 2 * b * b_rate * other.variances) + latent_rate,
        )
