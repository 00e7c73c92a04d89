"""Each regulariser against a closed form, and what holds for all of them."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.integrate import (
    ErrorEstimate,
    JacobianFrobenius,
    Kinetic,
    SolverCost,
    Steer,
    StiffnessEstimate,
    TayNODE,
    Unregularised,
    WeightedSum,
    solver_cost,
)

CONTROLLER = diffrax.PIDController(rtol=1e-9, atol=1e-9)
KEY = jax.random.key(0)
ALL = [
    Unregularised(),
    ErrorEstimate(),
    ErrorEstimate("mean", squared=True),
    StiffnessEstimate("max"),
    Kinetic(),
    JacobianFrobenius(),
    JacobianFrobenius(None),
    TayNODE(3),
    Steer(0.3),
    WeightedSum((0.1, Kinetic()), (2.0, JacobianFrobenius())),
    WeightedSum((1.0, ErrorEstimate()), (0.5, StiffnessEstimate()), (1.0, TayNODE()), (1.0, Steer(0.1))),
]


def name(regulariser):
    inside = [type(part).__name__ for _, part in getattr(regulariser, "parts", ())]
    return type(regulariser).__name__ + "-".join(inside)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def solve(regulariser, field, y0, *, args=None, t1=1.0, solver=None, key=KEY, **options):
    options = {"stepsize_controller": CONTROLLER, **options}
    y0 = jax.tree.map(jnp.asarray, y0)
    return regulariser(diffrax.ODETerm(field), solver or diffrax.Tsit5(), 0.0, t1, None, y0, args, key=key, **options)


def decay(t, y, rate):
    return rate * y


def integral_of_the_square(rate, t1):
    """Of `exp(rate t)` over `[0, t1]`."""
    return (np.exp(2 * rate * t1) - 1) / (2 * rate)


def test_kinetic_closed_form():
    start, rates = np.array([1.5, -0.5]), np.array([-1.0, 0.5])
    _, penalty = solve(Kinetic(), decay, start, args=jnp.asarray(rates), t1=2.0)
    expected = np.mean([(r * y) ** 2 * integral_of_the_square(r, 2.0) for r, y in zip(rates, start, strict=True)])
    np.testing.assert_allclose(penalty, expected, rtol=1e-7)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_taynode_closed_form(order):
    rate = -1.3
    _, penalty = solve(TayNODE(order), decay, np.array([2.0]), args=rate)
    np.testing.assert_allclose(penalty, (rate**order * 2.0) ** 2 * integral_of_the_square(rate, 1.0), rtol=1e-7)


@pytest.mark.parametrize(("order", "expected"), [(1, 1 / 5), (2, 4 / 3), (3, 4.0), (4, 0.0)])
def test_taynode_differentiates_time_too(order, expected):
    """`y' = t^2`: the derivatives are `t^2`, `2t`, `2`, `0`."""
    _, penalty = solve(TayNODE(order), lambda t, y, args: jnp.full_like(y, t**2), np.array([0.3]))
    np.testing.assert_allclose(penalty, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("order", [2, 3])
def test_taynode_against_nested_differentiation(order):
    def field(t, y, args):
        return jnp.tanh(jnp.array([[0.5, -2.0], [1.0, 0.3]]) @ y + jnp.sin(t))

    def total_derivative(function):
        return lambda t, y: jax.jvp(function, (t, y), (1.0, field(t, y, None)))[1]

    expected = lambda t, y: field(t, y, None)  # noqa: E731
    for _ in range(order - 1):
        expected = total_derivative(expected)
    t, y = 0.7, jnp.array([0.4, -1.1])
    found = TayNODE(order).integrand(diffrax.ODETerm(field), None)(t, y, None, field(t, y, None))
    np.testing.assert_allclose(found, jnp.mean(expected(t, y) ** 2), rtol=1e-10)


MATRIX = np.array([[-0.5, 2.0, 0.0], [0.1, -1.0, 0.3], [0.0, 1.5, 0.2]])


def test_jacobian_exactly():
    _, penalty = solve(JacobianFrobenius(None), lambda t, y, a: a @ y, np.ones(3), args=jnp.asarray(MATRIX), t1=1.5)
    np.testing.assert_allclose(penalty, 1.5 * np.sum(MATRIX**2) / 3, rtol=1e-9)


def test_jacobian_estimate_is_unbiased():
    def penalty(key):
        return solve(JacobianFrobenius(2), lambda t, y, a: a @ y, np.ones(3), args=jnp.asarray(MATRIX), key=key)[1]

    drawn = jax.vmap(penalty)(jax.random.split(KEY, 512))
    error = drawn.std() / np.sqrt(len(drawn))
    assert error > 0 and abs(drawn.mean() - np.sum(MATRIX**2) / 3) < 4 * error


def test_heuristics_are_the_solvers_own():
    arguments = (lambda t, y, a: jnp.tanh(a @ y), np.ones(3))
    options = {"args": jnp.asarray(MATRIX), "t1": 2.0}
    solver = SolverCost.of(diffrax.Tsit5(), CONTROLLER)
    cost = solver_cost(
        solve(Unregularised(), *arguments, **options, solver=solver,
              saveat=diffrax.SaveAt(t1=True, solver_state=True))[0]
    )  # fmt: skip
    for reduce in ("sum", "mean", "max"):
        assert solve(ErrorEstimate(reduce), *arguments, **options)[1] == cost.total_error(reduce)
        assert solve(StiffnessEstimate(reduce), *arguments, **options)[1] == cost.total_stiffness(reduce)


def test_steer_ends_at_a_uniform_time():
    def end(key):
        return solve(Steer(0.25), lambda t, y, a: jnp.ones_like(y), np.zeros(1), t1=2.0, key=key)[0].ys[0, 0]

    ends = np.asarray(jax.vmap(end)(jax.random.split(KEY, 400)))
    assert ends.min() >= 1.75 and ends.max() <= 2.25 and np.ptp(ends) > 0.45
    np.testing.assert_allclose(ends.mean(), 2.0, atol=4 * 0.25 / np.sqrt(3 * 400))


def test_a_sum_is_the_weighted_sum():
    arguments = (lambda t, y, a: jnp.tanh(a @ y), np.ones(3))
    options = {"args": jnp.asarray(MATRIX)}
    parts = [Kinetic(), ErrorEstimate(), JacobianFrobenius(None), StiffnessEstimate(), TayNODE()]
    weights = [0.3, 0.2, 2.0, 0.1, 1.0]
    _, total = solve(WeightedSum(*zip(weights, parts, strict=True)), *arguments, **options)
    each = [solve(part, *arguments, **options)[1] for part in parts]
    np.testing.assert_allclose(total, np.dot(weights, each), rtol=1e-10)


def pendulum(t, state, args):
    angle, speed = state["angle"], state["speed"]
    return {"angle": args * speed, "speed": -jnp.sin(angle) - 0.1 * speed}


@pytest.mark.parametrize("regulariser", ALL, ids=name)
@pytest.mark.parametrize(
    "saveat",
    [diffrax.SaveAt(t1=True), diffrax.SaveAt(ts=jnp.linspace(0, 2.0, 5)), diffrax.SaveAt(t0=True, steps=True)],
    ids=["end", "times", "steps"],
)
def test_the_solution_is_that_of_the_plain_solve(regulariser, saveat):
    if "Steer" in name(regulariser):
        pytest.skip("its purpose is another solution")
    start = {"angle": np.array([[1.0], [0.2]]), "speed": np.array([[0.0], [0.5]])}
    options = {"saveat": saveat, "args": 1.3, "t1": 2.0, "max_steps": 200}
    plain, _ = solve(Unregularised(), pendulum, start, **options)
    solution, penalty = solve(regulariser, pendulum, start, **options)
    assert solution.stats["num_steps"] == plain.stats["num_steps"] and penalty.shape == ()
    for leaf, expected in zip(jax.tree.leaves(solution.ys), jax.tree.leaves(plain.ys), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-12)
    np.testing.assert_array_equal(solution.ts, plain.ts)


@pytest.mark.parametrize("regulariser", ALL, ids=name)
def test_one_signature_and_a_gradient(regulariser):
    def loss(rate, adjoint=None):
        start = {"angle": np.array([1.0]), "speed": np.array([0.0])}
        options = {} if adjoint is None else {"adjoint": adjoint}
        return solve(regulariser, pendulum, start, args=rate, **options)[1]

    gradient = jax.jit(jax.grad(loss))(1.3)
    assert jnp.isfinite(gradient)
    if not isinstance(regulariser, Unregularised | Steer):
        assert gradient != 0
    with pytest.raises(InputError, match="RecursiveCheckpointAdjoint"):
        loss(1.3, diffrax.BacksolveAdjoint())


@pytest.mark.parametrize("regulariser", [Kinetic(), TayNODE(2)], ids=name)
def test_time_backwards_gives_the_same_positive_penalty(regulariser):
    forwards = solve(regulariser, lambda t, y, a: -y, np.ones(2), t1=1.0)[1]
    backwards = solve(regulariser, lambda t, y, a: y, np.ones(2), t1=-1.0)[1]
    np.testing.assert_allclose(backwards, forwards, rtol=1e-10)


def test_controllers_may_be_wrapped():
    clipped = diffrax.ClipStepSizeController(CONTROLLER, step_ts=jnp.array([0.31]))
    for regulariser in (Kinetic(), ErrorEstimate()):
        plain, _ = solve(Unregularised(), decay, np.ones(2), args=-1.0, stepsize_controller=clipped)
        solution, _ = solve(regulariser, decay, np.ones(2), args=-1.0, stepsize_controller=clipped)
        assert solution.stats["num_steps"] == plain.stats["num_steps"]


def test_a_fixed_step():
    fixed = diffrax.StepTo(ts=jnp.linspace(0, 1, 21))
    _, penalty = solve(Kinetic(), decay, np.ones(1), args=-1.0, stepsize_controller=fixed)
    np.testing.assert_allclose(penalty, integral_of_the_square(-1.0, 1.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("regulariser", "changes", "message"),
    [
        (ErrorEstimate(), {"stepsize_controller": diffrax.StepTo(ts=jnp.linspace(0, 1, 9))}, "PIDController"),
        (StiffnessEstimate(), {"solver": diffrax.Bosh3()}, "Bosh3"),
        (JacobianFrobenius(), {"key": None}, "probes=None"),
        (Steer(0.2), {"key": None}, "key"),
        (Steer(1.0), {}, "b=1.0"),
        (Steer(0.2), {"saveat": diffrax.SaveAt(ts=[0.5])}, "SaveAt"),
        (Kinetic(), {"saveat": diffrax.SaveAt(dense=True)}, "dense"),
    ],
)
def test_mistakes_are_told(regulariser, changes, message):
    with pytest.raises(InputError, match=message):
        solve(regulariser, decay, np.ones(2), args=-1.0, **changes)


def test_an_order_below_one_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        TayNODE(0)


def noisy(regulariser, key=KEY, scale=1.0, **options):
    path = diffrax.VirtualBrownianTree(0.0, 1.0, 1e-3, (2,), key, levy_area=diffrax.SpaceTimeLevyArea)
    drift = diffrax.ODETerm(lambda t, y, args: scale * jnp.array([[-0.1, 2.0], [-2.0, -0.1]]) @ y**3)
    noise = diffrax.ControlTerm(lambda t, y, args: 0.2 * jnp.diag(y), path)
    controller = diffrax.PIDController(rtol=1e-2, atol=1e-2, pcoeff=0.1, icoeff=0.3)
    start = jnp.array([2.0, 0.0])
    return regulariser(
        diffrax.MultiTerm(drift, noise), diffrax.SPaRK(), 0.0, 0.5, None, start,
        key=key, stepsize_controller=controller, **options,
    )  # fmt: skip


def test_stochastic_error_is_a_loop_over_accepted_steps():
    """The same Brownian path is seen by a second look at each accepted step: rejection does not disturb it."""
    saveat = diffrax.SaveAt(t0=True, steps=True)
    recorded, _ = noisy(Unregularised(), saveat=saveat, max_steps=500)
    accepted = int(recorded.stats["num_accepted_steps"])
    assert recorded.stats["num_rejected_steps"] > 0
    ts, ys = np.asarray(recorded.ts[: accepted + 1]), recorded.ys[: accepted + 1]
    path = diffrax.VirtualBrownianTree(0.0, 1.0, 1e-3, (2,), KEY, levy_area=diffrax.SpaceTimeLevyArea)
    drift = diffrax.ODETerm(lambda t, y, args: jnp.array([[-0.1, 2.0], [-2.0, -0.1]]) @ y**3)
    noise = diffrax.ControlTerm(lambda t, y, args: 0.2 * jnp.diag(y), path)
    terms, solver, total = diffrax.MultiTerm(drift, noise), diffrax.SPaRK(), 0.0
    for start, end, y in zip(ts, ts[1:], ys, strict=False):
        new, error, *_ = solver.step(terms, start, end, y, None, None, False)
        scaled = error / (1e-2 + 1e-2 * jnp.maximum(jnp.abs(y), jnp.abs(new)))
        total += float(jnp.sqrt(jnp.mean(scaled**2))) * (end - start)
    solution, penalty = noisy(ErrorEstimate())
    assert solver_cost(solution).steps == accepted
    np.testing.assert_allclose(penalty, total, rtol=1e-8)


def test_stochastic_gradient_is_finite_and_not_zero():
    gradient = jax.grad(lambda scale: noisy(ErrorEstimate(), scale=scale)[1])(1.0)
    assert jnp.isfinite(gradient) and gradient != 0


def test_path_integrals_are_of_odes():
    with pytest.raises(InputError, match="ODETerm"):
        noisy(Kinetic())
