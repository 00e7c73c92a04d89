"""Grain's own data sets and loaders, as streams that are set back exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.train import fit

grain = pytest.importorskip("grain")

KEY = jax.random.key(0)
VALUES = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


class Source:
    """Counts what is read."""

    def __init__(self):
        self.read = 0

    def __repr__(self):
        return "Source"

    def __len__(self):
        return len(VALUES)

    def __getitem__(self, index):
        self.read += 1
        return {"x": VALUES[index]}


class Noise(grain.transforms.RandomMap):
    def random_map(self, element, rng):
        return {"x": element["x"] + rng.normal(size=2).astype(np.float32)}


def data_set(source):
    shuffled = grain.MapDataset.source(source).seed(3).shuffle().random_map(Noise()).repeat()
    return shuffled.batch(8, drop_remainder=True)


def iterated(source):
    return data_set(source).to_iter_dataset(grain.ReadOptions(num_threads=0))


def loader(source):
    sampler = grain.samplers.IndexSampler(len(source), shuffle=True, seed=3, num_epochs=None)
    operations = [Noise(), grain.transforms.Batch(8, drop_remainder=True)]
    return grain.DataLoader(data_source=source, sampler=sampler, operations=operations, worker_count=0)


class Mean(eqx.Module):
    at: jax.Array


def loss(model, batch, key):
    return jnp.mean((model.at - batch["x"]) ** 2)


@pytest.mark.parametrize("stream", [data_set, iterated, loader])
def test_grain_resumes_exactly(tmp_path, stream):
    options = {"key": KEY, "run": tmp_path}
    whole = fit(Mean(jnp.zeros(2)), stream(Source()), loss, steps=120, key=KEY)
    fit(Mean(jnp.zeros(2)), stream(Source()), loss, steps=100, **options)
    source = Source()
    resumed = fit(Mean(jnp.zeros(2)), stream(source), loss, steps=120, **options)
    np.testing.assert_array_equal(resumed.model.at, whole.model.at)
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    # It was set back, and not run through: at most what is left, and what Grain reads ahead.
    assert stream is data_set or source.read < 100 * 8
