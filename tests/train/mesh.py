"""Checks on eight devices, in a process of their own: `mesh.py FOLDER`."""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.train import NonFiniteError, fit

folder, key = Path(sys.argv[1]), jax.random.key(0)
assert jax.device_count() == 8
mesh = jax.make_mesh((4, 2), ("one", "other"))
x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
data = (x, np.sin(3 * x))


class Scaled(eqx.Module):
    scale: jax.Array

    def __call__(self, model, batch, key):
        inputs, targets, *weight = batch
        return self.scale * jnp.mean((jax.vmap(model)(inputs) - targets) ** 2) * (weight[0] if weight else 1)


def start(key):
    return eqx.nn.MLP(1, 1, 8, 1, key=key)


def weighted(step):
    rows = slice(step % 4, None, 4)
    return x[rows], np.sin(3 * x[rows]), np.float32(1 + step % 2)


def close(ours, theirs):
    for one, other in zip(*(jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


loss, model = Scaled(jnp.asarray(2.0)), start(key)
options = {"key": key, "steps": 30}
single = fit(model, data, loss, batch_size=16, **options)

# A run begun on one device goes on on eight.
fit(model, data, loss, batch_size=16, key=key, steps=15, run=folder / "run")
resumed = fit(model, data, loss, batch_size=16, run=folder / "run", mesh=mesh, **options)
close(resumed.model, single.model)
assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(eqx.filter(resumed.model, eqx.is_array)))

seeds = [fit(start, data, loss, batch_size=16, seeds=2, mesh=each, **options).model for each in (None, mesh)]
close(*seeds)
close(fit(model, weighted, loss, mesh=mesh, **options).model, fit(model, weighted, loss, **options).model)

with pytest.raises(InputError, match="batch of 12 cannot be split over 8 devices; use a multiple of 8"):
    fit(model, data, loss, batch_size=12, mesh=mesh, **options)
with pytest.raises(InputError, match="batch of 60 cannot be split"):
    fit(model, jax.tree.map(lambda leaf: leaf[:60], data), loss, mesh=mesh, **options)
with pytest.raises(InputError, match="batch of 9 cannot be split"):
    fit(model, lambda step: jax.tree.map(lambda leaf: leaf[:9], data), loss, mesh=mesh, **options)


def planted(step):
    inputs, targets, weight = weighted(step)
    return inputs, targets, weight * np.float32(np.nan if step == 20 else 1)


with pytest.raises(NonFiniteError, match="step 21 ") as caught:
    fit(model, planted, loss, mesh=mesh, run=folder / "planted", **options)
assert caught.value.checkpoint is not None and caught.value.checkpoint.is_dir()
print("all is well")
