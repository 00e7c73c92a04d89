"""A small training in a process of its own: `child.py KIND RUN OUT [mesh [COORDINATOR RANK]]`."""

import sys

import equinox as eqx
import jax
import numpy as np

if len(sys.argv) > 5:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[5], num_processes=2, process_id=int(sys.argv[6]))

import jax.numpy as jnp

from pathline.train import fit

kind, run, out = sys.argv[1:4]
mesh = jax.make_mesh((jax.device_count(),), ("batch",)) if "mesh" in sys.argv else None
x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
y = np.sin(3 * x)


def loss(model, batch, key):
    return jnp.mean((jax.vmap(model)(batch[0]) - batch[1]) ** 2)


def stream(step):
    """This process' share of a batch of sixteen."""
    share = 16 // jax.process_count()
    start = (step * 16) % 64 + share * jax.process_index()
    return x[start : start + share], y[start : start + share]


key = jax.random.key(0)
model = eqx.nn.MLP(1, 1, 16, 2, key=key)
options = {"key": key, "run": None if run == "-" else run, "mesh": mesh}
if kind == "slow":
    fitted = fit(model, (x, y), loss, steps=20_000, batch_size=16, checkpoint_every=500, ema=0.99, **options)
elif kind == "memory":
    fitted = fit(model, (x, y), loss, steps=40, batch_size=16, checkpoint_every=20, **options)
else:
    fitted = fit(model, stream, loss, steps=40, checkpoint_every=20, **options)
leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(fitted.model, eqx.is_array))]
np.savez(out, *leaves)
