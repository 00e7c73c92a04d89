"""The Lorenz system against SciPy, its fixed points and its known statistics."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from pathline.systems import LORENZ63_LYAPUNOV, SYSTEMS, lorenz63, lorenz63_field

KEY = jax.random.key(0)


def test_agrees_with_scipy():
    times, values = lorenz63(81, step=0.025, key=KEY)

    def field(t, y):
        return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    reference = solve_ivp(field, (0, 2), values[0], "DOP853", times, rtol=1e-12, atol=1e-12).y.T
    np.testing.assert_allclose(values, reference, atol=1e-6)
    assert values.dtype == np.float64 and times[0] == 0


def test_fixed_points_and_climate():
    side = np.sqrt(8 / 3 * 27)
    for point in ([0.0, 0.0, 0.0], [side, side, 27.0], [-side, -side, 27.0]):
        np.testing.assert_allclose(lorenz63_field(jnp.asarray(point)), 0.0, atol=1e-4)
    _, values = lorenz63(20_000, step=0.05, key=KEY)
    assert abs(values[:, 2].mean() - 23.55) < 0.2 and abs(values[:, 0].mean()) < 1.5


def test_nearby_trajectories_part_at_the_lyapunov_exponent():
    _, values = lorenz63(400, step=1.0, key=KEY)
    with jax.enable_x64(True):
        jacobian = jax.jacfwd(lorenz63_field)

        def tangent_step(carry, _):
            state, tangent = carry
            h = 0.002
            for _ in range(5):
                k1 = lorenz63_field(state)
                k2 = lorenz63_field(state + h / 2 * k1)
                j = jacobian(state + h / 4 * (k1 + k2))
                tangent = tangent + h * (j @ tangent) + h**2 / 2 * (j @ (j @ tangent))
                state = state + h * k2
            growth = jnp.linalg.norm(tangent)
            return (state, tangent / growth), jnp.log(growth)

        start = (jnp.asarray(values[0]), jnp.asarray([1.0, 0.0, 0.0]))
        _, growth = jax.jit(lambda c: jax.lax.scan(tangent_step, c, None, length=60_000))(start)
    assert abs(float(np.asarray(growth).mean()) / 0.01 - LORENZ63_LYAPUNOV) < 0.05
    assert SYSTEMS["lorenz63"].lyapunov == LORENZ63_LYAPUNOV
