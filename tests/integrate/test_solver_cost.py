"""The instrumentation against steps done by hand, a loop over recorded steps, and finite differences."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import RK45

from pathline.errors import InputError
from pathline.integrate import SolverCost, end_stages, solver_cost

MATRIX = np.array([[-0.5, 2.0], [-2.0, -0.5]])
START = np.array([2.0, 0.3])
TOLERANCE = 1e-6
CONTROLLER = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def linear(t, y, matrix):
    return matrix @ y


def curved(t, y, matrix):
    return jnp.tanh(matrix @ y) + 0.1 * jnp.sin(t)


def solve(field, matrix=MATRIX, *, solver=None, controller=CONTROLLER, saveat=None, t1=3.0, start=START, **options):
    """An instrumented solve, or a bare one where `solver` is given."""
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        SolverCost(diffrax.Tsit5(), TOLERANCE, TOLERANCE) if solver is None else solver,
        0.0,
        t1,
        None if isinstance(controller, diffrax.PIDController | diffrax.StepTo) else t1,
        jnp.asarray(start),
        args=jnp.asarray(matrix),
        stepsize_controller=controller,
        saveat=saveat or diffrax.SaveAt(t1=True, solver_state=True),
        **options,
    )


def step_by_hand(field, t, y, h, a, b, e, c, end):
    """One explicit Runge–Kutta step in NumPy: the new state, the scaled error and the stiffness."""
    k, g = [], []
    for stage in range(len(b)):
        state = y + h * sum((a[stage][i] * k[i] for i in range(stage)), np.zeros_like(y))
        g.append(state)
        k.append(np.asarray(field(t + c[stage] * h, state, MATRIX)))
    new = y + h * sum(b_i * k_i for b_i, k_i in zip(b, k, strict=True))
    error = h * sum(e_i * k_i for e_i, k_i in zip(e, k, strict=True))
    scaled = error / (TOLERANCE + TOLERANCE * np.maximum(abs(y), abs(new)))
    first, second = end
    ratio = np.linalg.norm(k[second] - k[first]) / np.linalg.norm(g[second] - g[first])
    return new, np.sqrt(np.mean(scaled**2)), ratio


def tableau_of(solver):
    tableau = solver.tableau
    rows = [np.zeros(0), *tableau.a_lower]
    return rows, tableau.b_sol, tableau.b_error, [0.0, *tableau.c]


def dopri5_of_scipy():
    """The same method from SciPy's numbers. Diffrax embeds the weights 1951/21600, ..., of which SciPy's error is 3/2."""
    a = [*[np.asarray(row) for row in RK45.A], np.asarray(RK45.B)]
    return a, np.append(RK45.B, 0.0), np.asarray(RK45.E) / 1.5, [*RK45.C, 1.0]


@pytest.mark.parametrize("h", [0.01, 0.1])
@pytest.mark.parametrize(
    ("solver", "numbers"),
    [(diffrax.Tsit5(), tableau_of(diffrax.Tsit5())), (diffrax.Dopri5(), dopri5_of_scipy())],
    ids=["tsit5", "dopri5"],
)
def test_one_step_by_hand(solver, numbers, h):
    _, error, ratio = step_by_hand(curved, 0.0, START, h, *numbers, end=(5, 6))
    cost = solver_cost(
        solve(curved, t1=h, solver=SolverCost(solver, TOLERANCE, TOLERANCE), controller=diffrax.ConstantStepSize())
    )
    np.testing.assert_allclose(cost.total_error(), error * h, rtol=1e-5 if h < 0.1 else 1e-8)
    np.testing.assert_allclose(cost.squared_error, error**2 * h, rtol=1e-4 if h < 0.1 else 1e-8)
    # g_7 - g_6 is a small difference, and so carries rounding.
    np.testing.assert_allclose(cost.total_stiffness(), ratio, rtol=1e-4)
    assert cost.steps == 1


def test_stiffness_of_a_linear_step_is_the_matrix_on_the_difference():
    # Not a normal matrix: it stretches each direction differently.
    h, a, matrix = 0.2, tableau_of(diffrax.Tsit5())[0], np.array([[-1.0, 3.0], [0.2, -0.4]])
    k, g = [], []
    for stage in range(7):
        g.append(START + h * sum((a[stage][i] * k[i] for i in range(stage)), np.zeros(2)))
        k.append(matrix @ g[-1])
    v = g[6] - g[5]
    expected = np.linalg.norm(matrix @ v) / np.linalg.norm(v)
    cost = solver_cost(solve(linear, matrix, t1=h, controller=diffrax.ConstantStepSize()))
    np.testing.assert_allclose(cost.total_stiffness(), expected, rtol=1e-8)


@pytest.mark.parametrize("h", [0.05, 0.4, 2.0])
@pytest.mark.parametrize("rate", [-3.0, 0.7])
def test_stiffness_of_a_scalar_linear_equation_is_its_rate(rate, h):
    cost = solver_cost(
        solve(linear, np.array([[rate]]), t1=h, start=np.array([1.5]), controller=diffrax.ConstantStepSize())
    )
    np.testing.assert_allclose(cost.total_stiffness(), abs(rate), rtol=1e-6)


@pytest.mark.parametrize("kind", ["total_error", "total_stiffness"])
def test_a_constant_field_costs_nothing_and_has_a_finite_gradient(kind):
    def penalty(velocity):
        field = lambda t, y, args: args[0]  # noqa: E731
        return getattr(solver_cost(solve(field, velocity, controller=diffrax.ConstantStepSize())), kind)()

    value, gradient = jax.value_and_grad(penalty)(jnp.array([[1.0, -0.5]]))
    assert value < 1e-8 and jnp.all(jnp.isfinite(gradient))


def recorded_steps(field):
    saveat = diffrax.SaveAt(t0=True, steps=True)
    solution = solve(field, solver=diffrax.Tsit5(), saveat=saveat, max_steps=100)
    accepted = int(solution.stats["num_accepted_steps"])
    return np.asarray(solution.ts[: accepted + 1]), np.asarray(solution.ys[: accepted + 1])


def test_the_sums_are_a_loop_over_accepted_steps():
    times, states = recorded_steps(curved)
    errors, ratios = [], []
    for t, after, y in zip(times, times[1:], states, strict=False):
        _, error, ratio = step_by_hand(curved, t, y, after - t, *tableau_of(diffrax.Tsit5()), end=(5, 6))
        errors.append(error * (after - t))
        ratios.append(ratio)
    solution = solve(curved)
    cost = solver_cost(solution)
    assert solution.stats["num_rejected_steps"] > 0, "the case must reject steps to be a test"
    assert cost.steps == solution.stats["num_accepted_steps"] == len(errors)
    np.testing.assert_allclose(cost.total_error("sum"), np.sum(errors), rtol=1e-5)
    np.testing.assert_allclose(cost.total_error("mean"), np.mean(errors), rtol=1e-5)
    np.testing.assert_allclose(cost.total_error("max"), np.max(errors), rtol=1e-5)
    np.testing.assert_allclose(cost.total_stiffness("sum"), np.sum(ratios), rtol=1e-4)
    np.testing.assert_allclose(cost.total_stiffness("mean"), np.mean(ratios), rtol=1e-4)
    np.testing.assert_allclose(cost.total_stiffness("max"), np.max(ratios), rtol=1e-4)
    squares = np.array(errors) ** 2 / np.diff(times)
    np.testing.assert_allclose(cost.total_error(squared=True), squares.sum(), rtol=1e-4)


def test_every_accepted_step_has_an_error_below_one():
    cost = solver_cost(solve(curved))
    assert 0 < cost.total_error() < 3.0


def test_the_solution_is_that_of_the_bare_solver():
    for saveat in (diffrax.SaveAt(ts=jnp.linspace(0, 3, 7), solver_state=True), diffrax.SaveAt(t1=True)):
        bare = solve(curved, solver=diffrax.Tsit5(), saveat=saveat)
        instrumented = solve(curved, saveat=saveat)
        assert jnp.array_equal(bare.ys, instrumented.ys) and bare.stats["num_steps"] == instrumented.stats["num_steps"]


@pytest.mark.parametrize("kind", ["total_error", "total_stiffness"])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_gradient_against_finite_differences(kind, reduce):
    # Step sizes are constants of the gradient, so they must be constants of the difference quotient too.
    controller = diffrax.StepTo(ts=jnp.asarray(recorded_steps(curved)[0]))

    @jax.jit
    def penalty(matrix):
        return getattr(solver_cost(solve(curved, matrix, controller=controller)), kind)(reduce)

    gradient = jax.grad(penalty)(jnp.asarray(MATRIX))
    for index in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[index] = 1e-4
        quotient = (penalty(MATRIX + step) - penalty(MATRIX - step)) / 2e-4
        np.testing.assert_allclose(gradient[index], quotient, rtol=2e-4, atol=1e-5)
    assert jnp.abs(gradient).max() > 1e-3


def test_a_weight_of_zero_changes_no_bit():
    network = eqx.nn.MLP(2, 2, 16, 2, activation=jax.nn.tanh, key=jax.random.key(0))
    dynamic, static = eqx.partition(network, eqx.is_inexact_array)

    def task(dynamic, solver, weight):
        field = lambda t, y, args: eqx.combine(dynamic, static)(y)  # noqa: E731
        solution = solve(field, solver=solver)
        loss = jnp.sum(solution.ys**2)
        return loss if weight is None else loss + weight * solver_cost(solution).total_error()

    bare = jax.jit(jax.value_and_grad(lambda d: task(d, diffrax.Tsit5(), None)))(dynamic)
    zero = jax.jit(jax.value_and_grad(lambda d: task(d, SolverCost(diffrax.Tsit5(), 1e-6, 1e-6), 0.0)))(dynamic)
    assert eqx.tree_equal(bare, zero)
    some = jax.jit(jax.value_and_grad(lambda d: task(d, SolverCost(diffrax.Tsit5(), 1e-6, 1e-6), 0.1)))(dynamic)
    assert not eqx.tree_equal(bare, some)


def penalty_under(adjoint, matrix):
    return solver_cost(solve(curved, matrix, adjoint=adjoint)).total_error()


def test_a_continuous_adjoint_is_refused():
    with pytest.raises(InputError, match="RecursiveCheckpointAdjoint"):
        jax.grad(lambda matrix: penalty_under(diffrax.BacksolveAdjoint(), matrix))(jnp.asarray(MATRIX))


def test_discrete_adjoints_agree():
    checkpointed = jax.grad(lambda m: penalty_under(diffrax.RecursiveCheckpointAdjoint(), m))(jnp.asarray(MATRIX))
    direct = jax.grad(lambda m: penalty_under(diffrax.DirectAdjoint(), m))(jnp.asarray(MATRIX))
    forward = jax.jacfwd(lambda m: penalty_under(diffrax.ForwardMode(), m))(jnp.asarray(MATRIX))
    np.testing.assert_allclose(direct, checkpointed, rtol=1e-8)
    np.testing.assert_allclose(forward, checkpointed, rtol=1e-8)
    assert jnp.abs(checkpointed).min() > 0


def test_doubling_the_tolerances_halves_the_error():
    def error(tolerance):
        solver = SolverCost(diffrax.Tsit5(), tolerance, tolerance)
        return solver_cost(solve(curved, t1=0.1, solver=solver, controller=diffrax.ConstantStepSize())).total_error()

    np.testing.assert_allclose(error(2e-6), error(1e-6) / 2, rtol=1e-12)


def test_tolerances_come_from_the_controller():
    clipped = diffrax.ClipStepSizeController(diffrax.PIDController(rtol=1e-3, atol=1e-5), step_ts=[1.0])
    solver = SolverCost.of(diffrax.Tsit5(), clipped)
    assert (solver.rtol, solver.atol) == (1e-3, 1e-5)
    with pytest.raises(InputError, match="ConstantStepSize has no tolerances"):
        SolverCost.of(diffrax.Tsit5(), diffrax.ConstantStepSize())


def test_which_methods_estimate_stiffness():
    assert end_stages(diffrax.Tsit5()) == end_stages(diffrax.Dopri5()) == (5, 6)
    assert end_stages(diffrax.Bosh3()) is None and end_stages(diffrax.SPaRK()) is None
    cost = solver_cost(solve(curved, solver=SolverCost(diffrax.Bosh3(), TOLERANCE, TOLERANCE)))
    assert cost.total_error() > 0
    with pytest.raises(InputError, match="Tsit5"):
        cost.total_stiffness()


def test_an_implicit_method():
    cost = solver_cost(solve(linear, solver=SolverCost(diffrax.Kvaerno5(), TOLERANCE, TOLERANCE)))
    # The eigenvalues are -0.5 ± 2i and the matrix is normal, so that every difference is stretched equally.
    np.testing.assert_allclose(cost.total_stiffness("mean"), np.hypot(0.5, 2.0), rtol=1e-3)


def test_mistakes_are_told():
    with pytest.raises(InputError, match="HalfSolver"):
        solve(curved, solver=SolverCost(diffrax.Euler(), 1e-3, 1e-3), controller=diffrax.ConstantStepSize())
    with pytest.raises(InputError, match="solver_state=True"):
        solver_cost(solve(curved, saveat=diffrax.SaveAt(t1=True)))
    with pytest.raises(InputError, match="reduce='sum' or reduce='mean'"):
        solver_cost(solve(curved)).total_error("max", squared=True)
