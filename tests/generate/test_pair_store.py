"""Stored pairs: whole or absent, resumed to the same pairs, streamed in batches, and refused in one sentence."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate import pair_store
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Regression
from pathline.generate.pair_store import StoredPairs, store_pairs
from pathline.generate.paths import Linear, VarianceExploding
from pathline.generate.reflow import generate_pairs
from pathline.generate.samplers import Heun, UniformTime
from pathline.train import fit

KEY = jax.random.key(0)
PATH = VarianceExploding(0.02, 20.0)
FLOW = exact_fields(PATH, GaussianMixture.of(jnp.asarray([[1.0, -1.0], [0.0, 2.0]]), 0.1))
SAMPLER = Heun(6)


def store(folder, count=25, shard=10, **changed):
    given = {"key": KEY, "sampler": SAMPLER, "shape": (2,), "shard": shard} | changed
    return store_pairs(folder, FLOW, count, **given)


def test_pairs_are_those_of_the_flow(tmp_path):
    stored = store(tmp_path)
    assert len(stored) == 25 and stored.shards == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"pairs-0000{n}.npz" for n in range(3)),
        "pairs.json",
    ]
    source, target, condition = stored.data
    assert source.shape == target.shape == (25, 2) and condition is None
    again = generate_pairs(FLOW, PATH.source_scale(0.0) * source, SAMPLER)
    np.testing.assert_allclose(again.target, target, rtol=1e-4, atol=1e-5)
    assert len(np.unique(source, axis=0)) == 25, "shards have noise of their own"
    assert abs(source.std() - 1) < 0.3, "the noise is kept in its unit scale"


def test_an_interrupted_generation_ends_with_the_same_pairs(tmp_path, monkeypatch):
    whole = store(tmp_path / "whole").data
    calls = []

    def interrupted(*given, **options):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate_pairs(*given, **options)

    monkeypatch.setattr(pair_store, "generate_pairs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "cut")
    with pytest.raises(InputError, match="holds 1 of 3 shards"):
        StoredPairs(tmp_path / "cut")
    first = (tmp_path / "cut" / "pairs-00000.npz").stat().st_mtime_ns
    resumed = store(tmp_path / "cut")
    assert len(calls) == 4, "the first shard is not made again"
    assert (tmp_path / "cut" / "pairs-00000.npz").stat().st_mtime_ns == first
    jax.tree.map(np.testing.assert_array_equal, resumed.data, whole)


def test_conditions_go_with_their_pairs(tmp_path):
    def model(t, x, condition):
        return jnp.full_like(x, condition)

    labels = np.arange(7)
    stored = store_pairs(
        tmp_path, Fields(Linear(), model), 7, key=KEY, sampler=Heun(2), shape=(2,), shard=3, conditions=labels
    )
    source, target, condition = stored.data
    np.testing.assert_array_equal(condition, labels)
    np.testing.assert_allclose(target - source, np.repeat(labels[:, None], 2, axis=1), atol=1e-5)


def test_batches(tmp_path):
    stored = store(tmp_path, count=26)
    take = stored.batches(3, key=KEY)
    # Three batches of each whole shard and two of the last.
    seen = [take(step) for step in range(8)]
    rows = np.concatenate([source for source, _, _ in seen])
    assert rows.shape == (24, 2) and len(np.unique(rows, axis=0)) == 24
    everything = stored.data[0]
    assert all((row == everything).all(axis=1).any() for row in rows)
    partner = {tuple(source): target for source, target in zip(*stored.data[:2], strict=True)}
    for source, target, condition in seen:
        assert condition is None
        np.testing.assert_array_equal(target, [partner[tuple(row)] for row in source])
    following = np.concatenate([take(step)[0] for step in range(8, 16)])
    assert not np.array_equal(rows, following), "another order in the next pass"
    # Any step can be asked for at any time: a training that is taken up again sees the same batches.
    fresh = stored.batches(3, key=KEY)
    np.testing.assert_array_equal(fresh(11)[0], following[9:12])
    np.testing.assert_array_equal(take(2)[0], seen[2][0])


def test_training_from_a_stream(tmp_path):
    class Shift(eqx.Module):
        by: jax.Array

        def __call__(self, t, x, condition):
            return jnp.broadcast_to(self.by, x.shape)

    stored = store(tmp_path, count=40)
    found = fit(
        Fields(Linear(), Shift(jnp.zeros(2))),
        stored.batches(10, key=KEY),
        Regression(stored),
        steps=400,
        key=KEY,
        progress=False,
    )
    source, target, _ = stored.data
    # A constant velocity is the mean of all differences; a learning rate of 1e-3 gets 0.4 of the way.
    wanted = (target - source).mean(axis=0)
    assert np.linalg.norm(found.model.model.by - wanted) < np.linalg.norm(wanted)
    assert stored.sample(KEY, 5).source.shape == (5, 2)


def test_the_right_half_of_a_grid(tmp_path):
    """Sources are in unit scale wherever the sampler begins."""
    stored = store(tmp_path, count=400, shard=400, sampler=Heun(6, UniformTime(0.0, 0.9)))
    assert stored.data[0].std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"key": jax.random.key(1)}, "random key"),
        ({"sampler": Heun(7)}, "sampler"),
        ({"count": 26}, "count"),
        ({"shard": 5}, "shard"),
        ({"conditions": np.zeros(25, int)}, "conditions"),
    ],
)
def test_pairs_of_two_makings_are_not_mixed(tmp_path, changed, what):
    store(tmp_path)
    with pytest.raises(InputError, match=f"holds pairs with another {what}"):
        store(tmp_path, **changed)


def test_pairs_of_two_models_are_not_mixed(tmp_path):
    store(tmp_path)
    other = exact_fields(PATH, GaussianMixture.of(jnp.asarray([[1.0, -1.0], [0.0, 2.5]]), 0.1))
    with pytest.raises(InputError, match="holds pairs with another model"):
        store_pairs(tmp_path, other, 25, key=KEY, sampler=SAMPLER, shape=(2,), shard=10)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="no stored pairs"):
        StoredPairs(tmp_path)
    with pytest.raises(InputError, match="at least one pair"):
        store(tmp_path, count=0)
    with pytest.raises(InputError, match="3 conditions for 25 pairs"):
        store(tmp_path, conditions=np.zeros(3))
    stored = store(tmp_path)
    with pytest.raises(InputError, match="smaller ones"):
        stored.batches(6, key=KEY)
    place = tmp_path / "pairs-00001.npz"
    content = place.read_bytes()
    place.write_bytes(content[:-30])
    with pytest.raises(InputError, match=r"pairs-00001\.npz cannot be read"):
        store(tmp_path)
    np.savez(place, source=np.zeros((4, 2)), target=np.zeros((4, 2)))
    with pytest.raises(InputError, match="does not hold 10 pairs"):
        _ = stored.data
    np.savez(place, source=np.asarray([{}], object))
    with pytest.raises(InputError, match=r"pairs-00001\.npz"):
        stored.read(1)
    place.unlink()
    with pytest.raises(InputError, match="no file"):
        stored.read(1)
    for text in ("{", json.dumps({"count": 3})):
        (tmp_path / "pairs.json").write_text(text)
        with pytest.raises(InputError, match=r"pairs\.json"):
            StoredPairs(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        store(tmp_path / "file")
