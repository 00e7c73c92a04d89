"""Do the segments between pairs cross? The noise that a crossing would need, and how unlikely it is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.laws import NoiseLaw
from pathline.generate.paths import AffinePath, Linear, Time


class CrossingNoise(eqx.Module):
    """Noise that would be needed for segments to cross, from `crossing_noise`.

    Arguments:
        noise: one draw in each row.
        law: that the noise of the pairs has.
    """

    noise: Float[Array, "pair *shape"]
    law: NoiseLaw

    def square_norms(self) -> Float[np.ndarray, " pair"]:
        """`|n''|^2` of each, in double precision; for typical Gaussian noise it is about the number of entries."""
        flat = np.asarray(self.noise, np.float64).reshape(len(self.noise), -1)
        return np.sum(flat**2, axis=1)

    def share_beyond(self, quantile: float = 0.99) -> float:
        """The share whose norm lies beyond a quantile of the law's norms; `1 - quantile` if they were typical.

        Arguments:
            quantile: 0.99 or closer to one.
        """
        (bound,) = self.law.norm_quantile(np.asarray([quantile]), self.noise[0].size)
        return float(np.mean(self.square_norms() > bound**2))

    def autocorrelation(self) -> Float[np.ndarray, "*shape"]:
        """`R(lag) = sum_j n_j n_(j + lag) / sum_j n_j^2`, the mean over draws, with periodic lags along every axis of a state.

        It is one at lag zero and about zero elsewhere for independent entries; a crossing needs noise that is correlated as
        the data are.

        Returns:
            For each lag, an array of a state's shape.
        """
        noise = np.asarray(self.noise, np.float64)
        axes = tuple(range(1, noise.ndim))
        # The theorem of Wiener and Khinchin: the transform of the squared spectrum.
        correlation = np.fft.ifftn(np.abs(np.fft.fftn(noise, axes=axes)) ** 2, axes=axes).real
        total = np.sum(noise**2, axis=axes, keepdims=True)
        return (correlation / total).mean(axis=0)


def crossing_noise(
    pairs: Paired,
    t: Time,
    *,
    key: Array,
    path: AffinePath = Linear(),  # noqa: B008
) -> CrossingNoise:
    """The noise `n'' = n' + (b/a)(x' - x'')` from which the segment to `x''` would cross that of the pair `(n', x')` at
    time `t`. On `Linear` the factor is `t / (1-t)`.

    When such noise is not a typical draw (its norm is too large, its entries are correlated) segments hardly ever cross,
    the data follow from the point on a segment, and one round of reflow is enough: its flow is nearly straight.

    Arguments:
        pairs: of noise and data, from `generate_pairs`; each meets the data of another.
        t: the time of the crossing, before the data; 1/2 is telling.
        key: of which pairs meet.
        path: on which the segments lie.

    Returns:
        One draw for each pair.

    Raises:
        InputError: there is only one pair, the path does not start from noise, or it has no noise at this time.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024, section 3 (whose time runs the other way).
    """
    if path.law is None or path.has_latent:
        raise InputError(
            f"Crossings are told from noise, and {type(path).__name__} starts from data or has a latent; give a path from "
            "noise, such as Linear()."
        )
    count = len(pairs.source)
    if count < 2:
        raise InputError("Segments cross in twos; give at least two pairs.")
    level = float(path.source_scale(t))
    if not level > 0:
        raise InputError(f"At t = {t} there is no noise left on the path; give an earlier time, such as 0.5.")
    # A random cyclic order has no pair that meets itself.
    order = jax.random.permutation(key, count)
    other = jnp.zeros_like(order).at[order].set(jnp.roll(order, 1))
    source, target = jnp.asarray(pairs.source), jnp.asarray(pairs.target)
    return CrossingNoise(source + path.target_scale(t) / level * (target - target[other]), path.law)
