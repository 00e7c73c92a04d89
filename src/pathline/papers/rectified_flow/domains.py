"""From one data set to another and back, without pairs: two moons and a ring."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.generate.reflow import transfer
from pathline.measure import wasserstein2
from pathline.papers.rectified_flow.planar import STRAIGHT, Planar, first_flow
from pathline.systems import PLANAR


@dataclass(frozen=True)
class Domains:
    """What is seen of the transfer.

    Arguments:
        forward, backward: squared Wasserstein distances of what arrives to the data there.
        forward_floor, backward_floor: of two sets of these data.
        cycle_error: root mean square of what comes back less what was sent.
        moons, as_ring: a test set, and where it arrives.
        ring, as_moons: the other test set, and where it comes from.
    """

    forward: float
    backward: float
    forward_floor: float
    backward_floor: float
    cycle_error: float
    moons: Float[np.ndarray, "point dim"]
    as_ring: Float[np.ndarray, "point dim"]
    ring: Float[np.ndarray, "point dim"]
    as_moons: Float[np.ndarray, "point dim"]


def run(setup: Planar, key: Array) -> Domains:
    """Learn one flow, and use it both ways."""
    keys = jax.random.split(key, 7)
    moons, ring = (PLANAR[name] for name in ("two-moons", "ring"))
    flow = first_flow(setup, STRAIGHT, moons(keys[0], setup.points), ring(keys[1], setup.points), keys[2])
    tests = [sample(one, setup.test_points) for sample, one in zip((moons, ring, moons, ring), keys[3:], strict=True)]
    sent, met, other_moons, other_ring = tests
    arrived = transfer(flow, sent)
    returned = transfer(flow, arrived, reverse=True)
    origin = transfer(flow, met, reverse=True)
    return Domains(
        forward=wasserstein2(arrived, met) ** 2,
        backward=wasserstein2(origin, sent) ** 2,
        forward_floor=wasserstein2(other_ring, met) ** 2,
        backward_floor=wasserstein2(other_moons, sent) ** 2,
        cycle_error=float(jnp.sqrt(jnp.mean(jnp.sum((returned - sent) ** 2, axis=1)))),
        moons=np.asarray(sent),
        as_ring=np.asarray(arrived),
        ring=np.asarray(met),
        as_moons=np.asarray(origin),
    )
