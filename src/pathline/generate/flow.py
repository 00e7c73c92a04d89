"""The method behind `pathline generate`: any path, any prediction, any coupling, one training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from pathline.data import Samples, Standardiser
from pathline.errors import InputError
from pathline.generate.couplings import Coupling, Independent, MinibatchOT, Paired
from pathline.generate.denoiser import Denoiser
from pathline.generate.fields import Fields
from pathline.generate.generator import Generator
from pathline.generate.laws import NoiseLaw, noise_law
from pathline.generate.objectives import Regression, Term
from pathline.generate.paths import (
    AffinePath,
    CosineVariancePreserving,
    Linear,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)
from pathline.generate.predictions import Kind
from pathline.generate.reflow import generate_pairs, reflow_regression
from pathline.generate.times import LogNormalLevel, TimeSampler
from pathline.generate.weightings import EDM
from pathline.nets import PatchTransformer, ResidualMLP
from pathline.train import fit

PathName = Literal["linear", "trigonometric", "vp", "cosine", "edm"]
"""`"linear"` is flow matching, `"vp"` and `"cosine"` are diffusions of preserved variance, `"edm"` one of exploding."""

_LARGEST_MLP = 256
_REFLOW_PAIRS = 8192


@dataclass(frozen=True)
class Flow:
    """A generative model on a path from noise to data.

    Every setting is independent of the others. With labels in the data the model is conditional on them.

    Arguments:
        path: from noise to data.
        predict: what the network predicts: `"velocity"`, `"noise"`, `"data"` or `"v"`; by default what suits the path:
            the velocity on interpolants, the noise on vp and cosine, the data (with EDM's preconditioning) on edm.
        degrees: of freedom of heavy-tailed noise (PFGM++); Gaussian when absent. 2 to 10 times the dimension are good
            values; for the paths linear and edm.
        coupling: `"independent"`, or `"transport"` for minibatch optimal transport: straighter, slower to train.
        reflow: rounds of rectification afterwards, for few steps; 0 or 1. Each costs as many updates again.
        network: `"mlp"` for vectors and tiny images, `"transformer"` of patches for larger ones; by size when absent.
        width, depth: of the network; 256 and 3, or 96 and 3 for the transformer, when absent.
        updates: of the training.
        batch_size: samples in each; 256, or 64 for the transformer, when absent.
        learning_rate: peak of Adam's, after a short warm-up and with a cosine to zero.
        ema: decay of the moving average of the weights, which is what is kept.
        drop_labels: share of labels withheld in training, so that guidance is possible.
    """

    path: PathName = "linear"
    predict: Literal["velocity", "noise", "data", "v"] | None = None
    degrees: float | None = None
    coupling: Literal["independent", "transport"] = "independent"
    reflow: int = 0
    network: Literal["mlp", "transformer"] | None = None
    width: int | None = None
    depth: int | None = None
    updates: int = 4000
    batch_size: int | None = None
    learning_rate: float = 1e-3
    ema: float = 0.999
    drop_labels: float = 0.1

    name: ClassVar[str] = "flow"

    def fit(self, data: Samples, *, key: Array, run: Path | None = None, progress: bool | None = None) -> Generator:
        """Train on all samples.

        Arguments:
            data: at least some dozens of samples; with labels the model becomes conditional.
            key: of weights, batches and noise.
            run: directory for history and checkpoints; an interrupted training goes on from there.
            progress: show a bar; on a terminal by default.

        Returns:
            The generator, with the moving average of the weights.

        Raises:
            InputError: a setting makes no sense, there are too few samples, or they are all alike.
        """
        self._check(data)
        network_key, train_key, reflow_key = jax.random.split(key, 3)
        standardiser = standardiser_of(data)
        states = np.asarray(standardiser.apply(data.values), np.float32)
        labels = None if data.labels is None else jnp.asarray(data.labels)
        fields = self._fields(data, network_key)
        coupling = self._coupling(states, labels)
        fields = self._train(
            fields, coupling, self._terms(), self._times(fields.path), data, train_key, run, progress, "flow"
        )
        for number in range(self.reflow):
            pair_key, round_key = jax.random.split(jax.random.fold_in(reflow_key, number))
            pairs = self._pairs(fields, states, labels, pair_key)
            terms, times = reflow_regression(fields)
            folder = None if run is None else run / f"reflow-{number + 1}"
            fields = self._train(fields, pairs, terms, times, data, round_key, folder, progress, f"reflow {number + 1}")
        frequencies = None
        if data.labels is not None:
            frequencies = np.bincount(data.labels, minlength=len(data.classes)) / len(data)
        return Generator(
            fields=fields,
            standardiser=standardiser,
            low=float(data.values.min()),
            high=float(data.values.max()),
            frequencies=frequencies,
            statistics=None,
            classes=data.classes,
            shape=data.shape,
            title=data.title,
            method=self.name,
        )

    def _check(self, data: Samples) -> None:
        for what, given, fine, wanted in (
            ("updates", self.updates, self.updates >= 1, "at least 1"),
            ("batch_size", self.batch_size, self.batch_size is None or self.batch_size >= 1, "at least 1"),
            ("reflow", self.reflow, self.reflow >= 0, "0, 1 or a few"),
            ("width", self.width, self.width is None or self.width >= 1, "at least 1"),
            ("depth", self.depth, self.depth is None or self.depth >= 1, "at least 1"),
            ("learning_rate", self.learning_rate, 0 < self.learning_rate < math.inf, "above 0, such as 1e-3"),
            ("ema", self.ema, 0 <= self.ema < 1, "from 0 to below 1, such as 0.999"),
            ("drop_labels", self.drop_labels, 0 <= self.drop_labels < 1, "from 0 to below 1, such as 0.1"),
            ("degrees", self.degrees, self.degrees is None or self.degrees > 0, "positive"),
        ):
            if not fine:
                raise InputError(f"{what} of a flow cannot be {given:g}; it must be {wanted}.")
        if self.degrees is not None and self.path not in ("linear", "edm"):
            raise InputError(f"Heavy-tailed noise needs the path linear or edm, not {self.path}; leave degrees out.")
        if len(data) < 16:
            raise InputError(
                f"{data.title!r} has {len(data)} samples; learning a distribution needs 16 at the very least."
            )
        if not data.shape:
            raise InputError(f"Each sample of {data.title!r} is one number; give them the shape [sample, 1].")
        if np.ptp(data.values) == 0:
            raise InputError(f"All values of {data.title!r} are equal; there is nothing to learn.")

    def _law(self) -> NoiseLaw:
        return noise_law(math.inf if self.degrees is None else float(self.degrees))

    def _path(self) -> AffinePath:
        law = self._law()
        paths = {
            "linear": Linear(law=law),
            "trigonometric": Trigonometric(law=law),
            "vp": VariancePreserving(law=law),
            "cosine": CosineVariancePreserving(law=law),
            # For data of unit variance.
            "edm": VarianceExploding(sigma_min=0.005, sigma_max=80.0, law=law),
        }
        return paths[self.path]

    def _fields(self, data: Samples, key: Array) -> Fields:
        path, network = self._path(), self._network(data, key)
        if self.path == "edm" and self.predict is None:
            return Fields(path, Denoiser(network, path, data_scale=1.0), "data")
        default: dict[str, Kind] = {"vp": "noise", "cosine": "noise", "edm": "data"}
        return Fields(path, network, self.predict or default.get(self.path, "velocity"))

    def _network(self, data: Samples, key: Array) -> Any:
        classes = None if data.labels is None else len(data.classes)
        if self._is_mlp(data):
            return ResidualMLP(data.shape, self.width or 256, self.depth or 3, classes=classes, key=key)
        return PatchTransformer(data.shape, width=self.width or 96, depth=self.depth or 3, classes=classes, key=key)

    def _is_mlp(self, data: Samples) -> bool:
        small = math.prod(data.shape) <= _LARGEST_MLP or len(data.shape) == 1
        return self.network == "mlp" or (self.network is None and small)

    def _terms(self) -> tuple[Term, ...]:
        return (Term("data", weighting=EDM(1.0)),) if self.path == "edm" and self.predict is None else ()

    def _times(self, path: AffinePath) -> TimeSampler | None:
        # EDM's levels, shifted from photographs with standard deviation 0.5 to data of unit variance.
        return LogNormalLevel(path, -1.2 + math.log(2), 1.4) if self.path == "edm" else None

    def _coupling(self, states: np.ndarray, labels: Array | None) -> Coupling:
        kind = MinibatchOT if self.coupling == "transport" else Independent
        return kind(states, self._law(), labels)

    def _pairs(self, fields: Fields, states: np.ndarray, labels: Array | None, key: Array) -> Paired:
        start_key, label_key = jax.random.split(key)
        keys = jax.random.split(start_key, _REFLOW_PAIRS)
        starts = jax.vmap(lambda one: fields.path.start(one, states.shape[1:]))(keys)
        conditions = None
        if labels is not None:
            conditions = labels[jax.random.randint(label_key, (_REFLOW_PAIRS,), 0, len(labels))]
        return generate_pairs(fields, starts, conditions=conditions)

    def _train(
        self,
        fields: Fields,
        coupling: Coupling,
        terms: tuple[Term, ...],
        times: TimeSampler | None,
        data: Samples,
        key: Array,
        run: Path | None,
        progress: bool | None,
        name: str,
    ) -> Fields:
        drop = 0.0 if data.labels is None else self.drop_labels
        null = None if data.labels is None else jnp.asarray(len(data.classes))
        rows = len(jax.tree.leaves(coupling.data)[0])
        warmup = min(200, self.updates // 10 + 1)
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, warmup, max(self.updates, warmup + 1), 0.01 * self.learning_rate
        )
        found = fit(
            fields,
            coupling.data,
            Regression(coupling, terms, times, drop_condition=drop, null=null),
            steps=self.updates,
            batch_size=min(self.batch_size or (256 if self._is_mlp(data) else 64), rows),
            key=key,
            optimiser=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
            ema=self.ema,
            run=run,
            progress=progress,
            name=name,
        )
        assert found.ema_model is not None
        return found.ema_model


def standardiser_of(data: Samples) -> Standardiser:
    """Vectors have each coordinate in its own unit; images and fields have one scale, so that their pixels keep their
    contrast."""
    if len(data.shape) > 1:
        return Standardiser(np.asarray([data.values.mean()]), np.asarray([data.values.std()]))
    mean, deviation = data.values.mean(axis=0), data.values.std(axis=0)
    constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return Standardiser(mean, np.where(constant, 1.0, deviation))
