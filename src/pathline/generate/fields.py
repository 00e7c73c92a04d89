"""A model on a path: whatever it predicts, the velocity, the score and the means of both ends follow."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.paths import AffinePath, Time
from pathline.generate.predictions import Kind, check_kinds, conversion

Model = Callable[[Time, Float[Array, "*shape"], PyTree], Float[Array, "*shape"] | tuple[Array, ...]]
"""`model(t, x, condition)` gives a prediction of the shape of `x`, or a tuple of several."""


class Fields(eqx.Module):
    """The vector fields of a path, from a model of some of them.

    It is what is trained (the path is not: it holds no arrays), sampled from, and asked for densities.

    Arguments:
        path: the path.
        model: `model(t, x, condition)`, for one state; a tuple when it predicts several kinds.
        predicts: what the model gives, in order; see `pathline.generate.Kind`.

    Raises:
        InputError: a kind makes no sense on this path.

    Source: Albergo et al., Stochastic Interpolants, 2025, sections 2 and 4.
    """

    path: AffinePath
    model: Model
    predicts: tuple[Kind, ...] = eqx.field(static=True)

    def __init__(self, path: AffinePath, model: Model, predicts: Kind | Sequence[Kind] = "velocity"):
        self.path, self.model = path, model
        self.predicts = (predicts,) if isinstance(predicts, str) else tuple(predicts)
        check_kinds(path, self.predicts)

    def predictions(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> tuple[Array, ...]:
        """What the model itself gives, one array for each kind of `predicts`."""
        found = self.model(t, x, condition)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(self.predicts) or any(part.shape != x.shape for part in found):
            raise InputError(
                f"The model gives arrays of the shapes {', '.join(str(part.shape) for part in found)} for a state of shape "
                f"{x.shape} and predictions of {', '.join(self.predicts)}; it must give one of that shape for each."
            )
        return found

    def several(
        self, kinds: Sequence[Kind], t: Time, x: Float[Array, "*shape"], condition: PyTree = None
    ) -> tuple[Float[Array, "*shape"], ...]:
        """Fields of several kinds from one evaluation of the model.

        Arguments:
            kinds: which.
            t: the time.
            x: one state.
            condition: whatever the model is conditioned on.

        Raises:
            InputError: the predictions do not determine a field.
        """
        known = self.predictions(t, x, condition)
        return tuple(self.combined(known, kind, t, x) for kind in kinds)

    def combined(
        self, known: Sequence[Float[Array, "*shape"]], kind: Kind, t: Time, x: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """A field of one kind from what the model has already given for this state.

        Arguments:
            known: from `predictions`.
            kind: which field.
            t: the time.
            x: the state.

        Raises:
            InputError: the predictions do not determine it.
        """
        if kind in self.predicts:
            return known[self.predicts.index(kind)]
        state, weights = conversion(self.path, self.predicts, kind, t)
        parts = [weights[place].astype(x.dtype) * part for place, part in enumerate(known)]
        return sum(parts, state.astype(x.dtype) * x)

    def velocity(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """`b(t, x) = E[dx_t/dt | x_t = x]`: the ODE `dx/dt = b` has the path's density at every time."""
        return self.several(("velocity",), t, x, condition)[0]

    def score(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """`grad log rho_t(x)`."""
        return self.several(("score",), t, x, condition)[0]

    def noise(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """`E[x0 | x_t = x]`, the mean of the source."""
        return self.several(("noise",), t, x, condition)[0]

    def data(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """`E[x1 | x_t = x]`, the mean of the target: the denoised state."""
        return self.several(("data",), t, x, condition)[0]

    def on(self, path: AffinePath) -> "Fields":
        """The same model read on another path without a latent, exactly: at the same ratio of noise to signal both
        paths have the same states up to scale.

        A denoiser of EDM becomes the velocity of a rectified flow this way, and back.

        Arguments:
            path: the new path, with the same law of the noise.

        Returns:
            Fields that predict `"data"`.

        Raises:
            InputError: a path has a latent, or the laws differ.

        Source: Lee et al., Improving the Training of Rectified Flows, 2024, proposition 1.
        """
        if self.path.has_latent or path.has_latent:
            raise InputError("Only fields on paths without a latent can be read on another path.")
        if self.path.law != path.law:
            raise InputError(
                f"The noise of the two paths differs ({self.path.law} and {path.law}), so that their densities do too; train "
                "anew."
            )
        return Fields(path, _Reread(self, path), "data")


class _Reread(eqx.Module):
    """The data prediction of `fields`, asked about states of another path."""

    fields: Fields
    path: AffinePath

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree) -> Float[Array, "*shape"]:
        own = self.fields.path
        time = own.time_at(self.path.half_log_snr(t))
        first, last = own.span
        time = jax.numpy.clip(time, first, last)
        # x / b on the new path is x / b on the old one. Where there is no signal the noise is compared instead.
        scale = jax.numpy.hypot(own.source_scale(time), own.target_scale(time))
        scale = scale / jax.numpy.hypot(self.path.source_scale(t), self.path.target_scale(t))
        return self.fields.data(time, scale.astype(x.dtype) * x, condition)
