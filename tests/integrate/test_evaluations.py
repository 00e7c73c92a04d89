"""The count of evaluations against a vector field that counts."""

import diffrax
import jax
import jax.numpy as jnp
import pytest

from pathline.errors import InputError
from pathline.integrate import SolverCost, nfe

CONTROLLER = diffrax.PIDController(rtol=1e-5, atol=1e-5)


def count(solver, *, dt0=0.01, sde=False):
    """The evaluations that really happened, and those that `nfe` says."""
    calls = []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.tanh(3 * y[::-1] * jnp.array([1.0, -1.0]))

    terms: diffrax.AbstractTerm = diffrax.ODETerm(field)
    controller = CONTROLLER
    if sde:
        path = diffrax.VirtualBrownianTree(0.0, 2.0, 1e-3, (2,), jax.random.key(0), levy_area=diffrax.SpaceTimeLevyArea)
        noise = diffrax.ControlTerm(lambda t, y, args: 0.1 * jnp.diag(y), path)
        terms = diffrax.MultiTerm(terms, noise)
        controller = diffrax.PIDController(rtol=1e-3, atol=1e-3, pcoeff=0.1, icoeff=0.3)
    solution = diffrax.diffeqsolve(
        terms, solver, 0.0, 2.0, dt0, jnp.array([1.0, 0.2]), stepsize_controller=controller, max_steps=None
    )
    jax.effects_barrier()
    return len(calls), int(nfe(solution, solver)), int(solution.stats["num_rejected_steps"])


@pytest.mark.parametrize(
    "solver",
    [
        diffrax.Tsit5(),
        diffrax.Dopri5(),
        diffrax.Bosh3(),
        diffrax.Heun(),
        SolverCost(diffrax.Tsit5(), 1e-5, 1e-5),
        diffrax.HalfSolver(diffrax.Midpoint()),
        diffrax.HalfSolver(diffrax.Tsit5()),
    ],
    ids=lambda solver: type(solver).__name__ + type(getattr(solver, "solver", None)).__name__.replace("NoneType", ""),
)
def test_count_is_exact(solver):
    really, said, rejected = count(solver)
    assert said == really and rejected > 0


@pytest.mark.parametrize("solver", [diffrax.SPaRK(), SolverCost(diffrax.SPaRK(), 1e-3, 1e-3)], ids=["bare", "cost"])
def test_count_of_drift_evaluations_is_exact(solver):
    really, said, rejected = count(solver, sde=True)
    assert said == really and rejected > 0


def test_a_first_step_that_diffrax_chooses_costs_nothing_more():
    really, said, _ = count(diffrax.Tsit5(), dt0=None)
    assert said == really


def test_implicit_methods_are_refused():
    with pytest.raises(InputError, match="Kvaerno5"):
        nfe(
            diffrax.diffeqsolve(diffrax.ODETerm(lambda t, y, a: -y), diffrax.Tsit5(), 0, 1, 0.1, 1.0),
            diffrax.Kvaerno5(),
        )
