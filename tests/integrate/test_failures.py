"""A failed solve is NaN, a good one is left alone."""

import diffrax
import jax
import jax.numpy as jnp
import pytest

from pathline.integrate import nan_on_failure


@pytest.mark.parametrize("saveat", [diffrax.SaveAt(t1=True), diffrax.SaveAt(ts=[0.5, 1.0])], ids=["end", "times"])
def test_running_out_of_steps(saveat):
    @jax.jit
    def solve(rate):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: {"a": -rate * y["a"]}), diffrax.Tsit5(), 0.0, 1.0, None,
            {"a": jnp.ones(2)}, saveat=saveat, max_steps=12, throw=False,
            stepsize_controller=diffrax.PIDController(rtol=1e-4, atol=1e-4),
        )  # fmt: skip
        return solution.ys["a"], nan_on_failure(solution).ys["a"]

    plain, checked = solve(1.0)
    assert jnp.array_equal(plain, checked) and jnp.isfinite(checked).all()
    assert jnp.isnan(solve(1e4)[1]).all()
