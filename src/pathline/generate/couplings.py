"""Couplings: which source belongs to which target while a path is learnt."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.laws import Gaussian, NoiseLaw


class Pairs(eqx.Module):
    """Sources, targets and perhaps conditions, row by row.

    Arguments:
        source: `x0`.
        target: `x1`.
        condition: what the model is told of each pair (a class label, for example), or `None`.
    """

    source: Float[Array, "pair *shape"]
    target: Float[Array, "pair *shape"]
    condition: PyTree = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.target)


class Coupling(eqx.Module):
    """Pairs of a source and a target. Abstract: `Independent`, `Paired` or `MinibatchOT`.

    Training loops over the rows of `data` in batches; `pair` brings the partner of each.
    """

    @property
    @abstractmethod
    def data(self) -> PyTree:
        """What a training loop goes through: a tree of arrays `[row, ...]`."""

    @abstractmethod
    def pair(self, batch: PyTree, key: Array) -> Pairs:
        """The pairs of a batch of rows of `data`."""

    def sample(self, key: Array, count: int) -> Pairs:
        """So many pairs, of rows drawn with replacement."""
        row_key, pair_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (count,), 0, len(jax.tree.leaves(self.data)[0]))
        return self.pair(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], self.data), pair_key)


class Independent(Coupling):
    """Every target meets a source that has nothing to do with it.

    Arguments:
        target: samples of the target.
        source: a law of noise, or samples of other data with the same shape.
        condition: of each target, with a leading axis as long as `target`.

    Raises:
        InputError: shapes differ.
    """

    target: Float[Array | np.ndarray, "target *shape"]
    source: NoiseLaw | Float[Array | np.ndarray, "source ..."]
    condition: PyTree

    def __init__(
        self,
        target: Float[Array | np.ndarray, "target *shape"],
        source: NoiseLaw | Float[Array | np.ndarray, "source ..."] = Gaussian(),  # noqa: B008
        condition: PyTree = None,
    ):
        if not isinstance(source, NoiseLaw) and source.shape[1:] != target.shape[1:]:
            raise InputError(
                f"Samples of the source have the shape {source.shape[1:]} and those of the target {target.shape[1:]}; both "
                "ends of a path have one shape."
            )
        self.target, self.source, self.condition = target, source, condition

    @property
    def law(self) -> NoiseLaw | None:
        """Of the source when it is noise, as the path must have it; `None` for data."""
        return self.source if isinstance(self.source, NoiseLaw) else None

    @property
    def data(self) -> PyTree:
        """Targets and conditions."""
        return self.target, self.condition

    def pair(self, batch: PyTree, key: Array) -> Pairs:
        """Sources drawn anew for each batch."""
        target, condition = batch
        return Pairs(self._draw(key, target), target, condition)

    def _draw(self, key: Array, target: Array) -> Array:
        if isinstance(self.source, NoiseLaw):
            law = self.source
            return jax.vmap(lambda key: law.sample(key, target.shape[1:]))(jax.random.split(key, len(target)))
        rows = jax.random.randint(key, (len(target),), 0, len(self.source))
        return jnp.asarray(self.source)[rows]


class Paired(Coupling):
    """Pairs that belong together: a blurred and a sharp image, or noise and what a flow made of it (reflow).

    Arguments:
        source, target: row by row.
        condition: of each pair.

    Raises:
        InputError: shapes differ.
    """

    source: Float[Array | np.ndarray, "source ..."]
    target: Float[Array | np.ndarray, "target ..."]
    condition: PyTree = None

    def __check_init__(self):
        if self.source.shape != self.target.shape:
            raise InputError(
                f"Paired needs as many sources as targets of one shape, and was given {self.source.shape} and "
                f"{self.target.shape}."
            )

    @property
    def data(self) -> PyTree:
        """Sources, targets and conditions."""
        return self.source, self.target, self.condition

    def pair(self, batch: PyTree, key: Array) -> Pairs:
        """As they are."""
        return Pairs(*batch)


class MinibatchOT(Independent):
    """Within each batch, sources are dealt to targets at the least total squared distance (optimal transport).

    Paths cross less, so flows are straighter and training is less noisy. Pairs are drawn from the entropic plan that
    Sinkhorn's algorithm finds; targets stay in place and the sources are dealt, so that conditions keep their target.

    Arguments:
        target, source, condition: as for `Independent`.
        sharpness: the entropic regularisation is the mean cost divided by this; 20 to 100 are good values.

    Source: Tong et al., Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport, 2024;
    Sinkhorn's algorithm by ott-jax.
    """

    sharpness: float = eqx.field(static=True, default=50.0)

    def __init__(
        self,
        target: Float[Array | np.ndarray, "target *shape"],
        source: NoiseLaw | Float[Array | np.ndarray, "source ..."] = Gaussian(),  # noqa: B008
        condition: PyTree = None,
        *,
        sharpness: float = 50.0,
    ):
        super().__init__(target, source, condition)
        self.sharpness = sharpness

    def pair(self, batch: PyTree, key: Array) -> Pairs:
        """Sources drawn anew, and dealt."""
        # Imported here: it takes a second, which nobody else should pay.
        from ott.geometry import pointcloud
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn

        source_key, deal_key = jax.random.split(key)
        target, condition = batch
        source = self._draw(source_key, target)
        flat_target, flat_source = (jax.lax.stop_gradient(x.reshape(len(x), -1)) for x in (target, source))
        cost = jnp.mean(jnp.sum((flat_target[:, None] - flat_source[None]) ** 2, axis=-1))
        geometry = pointcloud.PointCloud(flat_target, flat_source, epsilon=cost / self.sharpness)
        plan = sinkhorn.Sinkhorn(max_iterations=200)(linear_problem.LinearProblem(geometry)).matrix
        chosen = jax.random.categorical(deal_key, jnp.log(jnp.maximum(plan, 1e-30)), axis=1)
        return Pairs(source[chosen], target, condition)
