"""How far errors of the fields can lead samples astray: Girsanov's bound, and the best amount of noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pathline.generate.couplings import Pairs
from pathline.generate.fields import Fields


class FieldErrors(eqx.Module):
    """Mean square errors of velocity and score along a path, and what follows for the samples of the stochastic equation.

    Arguments:
        times: in increasing order.
        velocity: `E|b^ - b|^2` at each.
        score: `E|s^ - s|^2` at each.
        product: `E (b^ - b).(s^ - s)` at each: errors that belong together can cancel or add.

    Source: Albergo et al., Stochastic Interpolants, 2025, lemma 22 and theorem 23.
    """

    times: Float[Array, " time"]
    velocity: Float[Array, " time"]
    score: Float[Array, " time"]
    product: Float[Array, " time"]

    def bound(self, eps: Float[Array, " time"] | Float[Array, ""] | float) -> Float[Array, ""]:
        """`KL(rho_1 | rho^_1) <= int E|(b^ - b) + eps (s^ - s)|^2 / (4 eps) dt` for samples of the stochastic equation with the
        model's fields. There is no such bound for the ODE, `eps = 0`.

        Arguments:
            eps: the strength of the noise, positive; one number or one for each time.
        """
        return self._integral((self.velocity / eps + 2 * self.product + eps * self.score) / 4)

    def separate_bound(self, eps: Float[Array, " time"] | Float[Array, ""] | float) -> Float[Array, ""]:
        """`int (E|b^ - b|^2 / (2 eps) + eps E|s^ - s|^2 / 2) dt`: larger, and known from the two errors alone.

        Arguments:
            eps: the strength of the noise, positive; one number or one for each time.
        """
        return self._integral((self.velocity / eps + eps * self.score) / 2)

    @property
    def best_diffusion(self) -> Float[Array, ""]:
        """The constant `eps` with the least bounds, `sqrt(int E|b^ - b|^2 dt / int E|s^ - s|^2 dt)`."""
        return jnp.sqrt(self._integral(self.velocity) / self._integral(self.score))

    def _integral(self, values: Array) -> Array:
        return jnp.trapezoid(values, self.times)


def field_errors(
    fields: Fields, exact: Fields, pairs: Pairs, times: Float[Array, " time"], *, key: Array
) -> FieldErrors:
    """Errors of a model against exact fields, over states of the path.

    Arguments:
        fields: the model, on the path of the exact fields.
        exact: the truth, e.g. from `exact_fields`.
        pairs: from the coupling, a thousand or more: `coupling.sample(key, count)`.
        times: where to look, in increasing order; 20 to 50 within the path's span.
        key: of the latents, drawn anew at each time.

    Raises:
        InputError: a path has no score.
    """
    path = exact.path
    kinds = ("velocity", "score")

    def at(time_and_key: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        t, key = time_and_key

        def one(source: Array, target: Array, latent: Array, condition) -> tuple[Array, Array, Array]:
            x = path.point(t, source, target, latent if path.has_latent else None)
            found, truth = fields.several(kinds, t, x, condition), exact.several(kinds, t, x, condition)
            velocity, score = (part - other for part, other in zip(found, truth, strict=True))
            return jnp.sum(velocity**2), jnp.sum(score**2), jnp.sum(velocity * score)

        latents = jax.random.normal(key, pairs.target.shape, pairs.target.dtype)
        found = jax.vmap(one)(pairs.source, pairs.target, latents, pairs.condition)
        return jax.tree.map(jnp.mean, found)

    velocity, score, product = jax.lax.map(at, (times, jax.random.split(key, len(times))))
    return FieldErrors(times, velocity, score, product)
