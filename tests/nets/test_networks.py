"""Networks of a state, its level and a condition: what holds for every one of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathline.errors import InputError
from pathline.nets import ClassEmbedding, Conditioning, FourierEmbedding, PatchTransformer, ResidualMLP, default_patch
from pathline.train import load_model, save_model

KEY = jax.random.key(0)


def transformer(shape, key=KEY, depth=1, **settings):
    return PatchTransformer(shape, width=8, depth=depth, heads=2, embedding=8, key=key, **settings)


def perceptron(shape, key=KEY, depth=1, **settings):
    return ResidualMLP(shape, width=8, depth=depth, embedding=8, key=key, **settings)


NETWORKS = [perceptron, transformer]
SHAPES = {perceptron: [(3,), (1, 4, 4)], transformer: [(2, 8), (1, 4, 6), (2, 4, 2, 4)]}
evaluate = eqx.filter_jit(lambda network, *arguments: network(*arguments))
evaluate_all = eqx.filter_jit(lambda network, *batch: jax.vmap(network)(*batch))
every_network = pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)


def awake(network):
    """With all weights at random: some start from zero, and then nothing matters yet."""
    generator = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.3 * generator.normal(size=leaf.shape), leaf.dtype), network)


def state_of(network):
    return jax.random.normal(jax.random.key(2), network.shape)


@pytest.mark.parametrize(("make", "shape"), [(make, shape) for make in NETWORKS for shape in SHAPES[make]])
def test_the_shape_of_the_state_comes_back(make, shape):
    network = awake(make(shape))
    out, later = (evaluate(network, level, state_of(network)) for level in (jnp.asarray(0.3), jnp.asarray(0.9)))
    assert out.shape == shape and jnp.isfinite(out).all()
    # Everywhere in the state, what is said depends on the level.
    assert (jnp.abs(later - out) > 1e-6).all()


@every_network
def test_the_same_key_gives_the_same_network(make):
    same = jax.tree.map(lambda a, b: bool((a == b).all()), make((1, 4, 4), classes=3), make((1, 4, 4), classes=3))
    assert all(jax.tree.leaves(same))
    other = make((1, 4, 4), jax.random.key(5), classes=3)
    assert (other.inward.weight != make((1, 4, 4), classes=3).inward.weight).all()


@every_network
def test_labels_matter_and_none_is_the_null_label(make):
    network = awake(make((1, 4, 4), classes=3))
    outs = evaluate_all(network, jnp.full(6, 0.5), jnp.stack([state_of(network)] * 6), jnp.arange(-1, 5))
    assert jnp.isnan(outs[0]).all() and jnp.isnan(outs[-1]).all()
    outs = outs[1:-1]
    assert min(jnp.abs(outs[i] - outs[j]).max() for i in range(4) for j in range(i)) > 1e-3
    np.testing.assert_allclose(evaluate(network, 0.5, state_of(network)), outs[3], atol=1e-5)


@every_network
def test_a_vector_as_condition(make):
    network = awake(make((1, 4, 4), condition_dim=2))
    x = state_of(network)
    one, other, zero = (
        evaluate(network, 0.5, x, jnp.asarray(condition)) for condition in ([1.0, 0], [0, 1.0], [0.0, 0])
    )
    np.testing.assert_allclose(evaluate(network, 0.5, x), zero, atol=1e-6)
    assert jnp.abs(one - other).max() > 1e-3


@every_network
def test_vmap_is_one_after_the_other(make):
    network = awake(make((1, 4, 4), classes=3))
    levels, labels = jnp.linspace(0, 1, 5), jnp.asarray([0, 1, 2, 3, 0])
    states = jax.random.normal(KEY, (5, 1, 4, 4))
    batch = evaluate_all(network, levels, states, labels)
    single = [evaluate(network, *one) for one in zip(levels, states, labels, strict=True)]
    np.testing.assert_allclose(batch, jnp.stack(single), atol=1e-5)


@every_network
def test_derivatives_are_those_of_finite_differences(make):
    with jax.enable_x64(True):
        network = awake(make((1, 4, 4), classes=3))
        x, direction = jax.random.normal(KEY, (2, 1, 4, 4))
        level, step = jnp.asarray(0.4), 1e-5

        @jax.jit
        def both(in_level, in_state):
            def along(s):
                return network(level + in_level * s, x + in_state * s * direction, jnp.asarray(1))

            tangent = jax.jvp(along, (jnp.asarray(0.0),), (jnp.asarray(1.0),))[1]
            # Of fourth order: third derivatives in the level are large.
            weights, places = jnp.asarray([1, -8, 8, -1]) / (12 * step), jnp.asarray([-2, -1, 1, 2]) * step
            return tangent, jnp.tensordot(weights, jax.vmap(along)(places), 1)

        for ways in ((1.0, 0.0), (0.0, 1.0), (0.7, -0.3)):
            tangent, difference = both(*ways)
            assert jnp.abs(tangent).max() > 1e-2
            np.testing.assert_allclose(tangent, difference, rtol=1e-6, atol=1e-7)


@every_network
def test_the_precision_is_that_of_the_state(make):
    network = make((1, 4, 4), classes=3)

    def precision(network, level, dtype):
        return eqx.filter_eval_shape(network, level, jnp.ones((1, 4, 4), dtype)).dtype

    assert precision(network, 0.5, jnp.float32) == jnp.float32
    assert precision(network, 0.5, jnp.bfloat16) == jnp.bfloat16
    with jax.enable_x64(True):
        assert precision(network, 0.5, jnp.float64) == jnp.float64
        assert precision(make((1, 4, 4), classes=3), 0.5, jnp.float64) == jnp.float64
        # A double-precision level, as samplers have it, leaves single precision alone.
        assert precision(network, jnp.asarray(0.5, jnp.float64), jnp.float32) == jnp.float32


@every_network
@pytest.mark.parametrize("settings", [{}, {"classes": 3}, {"condition_dim": 2}])
def test_saved_and_loaded(make, settings, tmp_path):
    network = awake(make((1, 4, 4), depth=2, **settings))
    save_model(tmp_path / "model.eqx", network)
    loaded = load_model(tmp_path / "model.eqx")
    assert jax.tree.structure(loaded) == jax.tree.structure(network)
    x = state_of(network)
    np.testing.assert_array_equal(evaluate(loaded, 0.5, x), evaluate(network, 0.5, x))


@every_network
def test_it_can_learn_a_map_that_depends_on_the_level(make):
    """`x -> cos(3 level) x + sin(3 level) reversed x`: nothing that ignores the level comes near."""
    network = type(make((2, 4)))((2, 4), width=16, depth=1, key=KEY)
    level_key, state_key = jax.random.split(jax.random.key(4))
    levels = jax.random.uniform(level_key, (128,))
    states = jax.random.normal(state_key, (128, 2, 4))
    turn = jax.vmap(lambda t, x: jnp.cos(3 * t) * x + jnp.sin(3 * t) * x[:, ::-1])
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, 200))

    def loss(network):
        return jnp.mean((jax.vmap(network)(levels, states) - turn(levels, states)) ** 2)

    def update(carry, _):
        network, state = carry
        value, gradient = eqx.filter_value_and_grad(loss)(network)
        updates, state = optimiser.update(gradient, state)
        return (eqx.apply_updates(network, updates), state), value

    _, losses = jax.jit(lambda network: jax.lax.scan(update, (network, optimiser.init(network)), length=200))(network)
    assert losses[-1] < losses[0] / 20


def test_a_transformer_begins_as_zero_and_patches_are_put_back_where_they_were():
    for shape in SHAPES[transformer]:
        network = transformer(shape, patch=2)
        x = state_of(network)
        assert (evaluate(network, 0.5, x) == 0).all()
        assert network._cut(x).shape == (len(network.positions), x.size // len(network.positions))
        np.testing.assert_array_equal(network._join(network._cut(x)), x)
    # A patch holds neighbours.
    patches = transformer((1, 4, 6), patch=2)._cut(jnp.arange(24.0).reshape(1, 4, 6))
    np.testing.assert_array_equal(patches[4], [14, 15, 20, 21])


def test_without_positions_tokens_can_be_shuffled():
    network = awake(transformer((1, 8), patch=2))
    x, order = state_of(network).reshape(4, 2), jnp.asarray([2, 0, 3, 1])
    plain = eqx.tree_at(lambda network: network.positions, network, jnp.zeros((4, 8)))

    def shuffled(network):
        before = evaluate(network, 0.5, x[order].reshape(1, 8)).reshape(4, 2)
        return jnp.abs(before - evaluate(network, 0.5, x.reshape(1, 8)).reshape(4, 2)[order]).max()

    assert shuffled(plain) < 1e-5 < 1e-2 < shuffled(network)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((1, 8, 8), (2, 2)),
        ((1, 14, 14), (2, 2)),
        ((3, 28, 28), (7, 7)),
        ((1, 32, 32), (8, 8)),
        ((1, 28, 14), (7, 2)),
        ((1, 100), (4,)),
        ((2, 16, 16, 16), (4, 4, 4)),
        ((1, 11, 29), (1, 29)),
    ],
)
def test_default_patches(shape, patch):
    assert default_patch(shape) == patch


def test_waves():
    waves = FourierEmbedding(16)
    np.testing.assert_allclose(waves.frequencies[[0, -1]], [1.0, 12.0])
    np.testing.assert_allclose(np.diff(np.log(waves.frequencies), 2), 0.0, atol=1e-12)
    with jax.enable_x64(True):
        exact = np.sqrt(2) * np.concatenate([np.cos(0.7 * waves.frequencies), np.sin(0.7 * waves.frequencies)])
        np.testing.assert_allclose(waves(jnp.asarray(0.7)), exact, rtol=1e-14)
        # Fast enough to tell levels apart, slow enough for derivatives: the bound is sqrt(2) times each frequency.
        slope = jax.jvp(waves, (jnp.asarray(0.7),), (jnp.asarray(1.0),))[1]
        np.testing.assert_allclose(slope[:8] ** 2 + slope[8:] ** 2, 2 * waves.frequencies**2, rtol=1e-12)
    assert waves(1).dtype == jnp.float32


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            lambda: perceptron((1, 4, 4))(0.5, jnp.ones((4, 4))),
            r"shape \(4, 4\) was given .* shape \(1, 4, 4\); .*vmap",
        ),
        (
            lambda: transformer((1, 4))(0.5, jnp.ones((7, 1, 4))),
            r"shape \(7, 1, 4\) was given .* shape \(1, 4\); .*vmap",
        ),
        (lambda: perceptron(2)(0.5, jnp.ones(2), 1), "network without one; make it with classes or condition_dim"),
        (lambda: perceptron(2, classes=3)(0.5, jnp.ones(2), jnp.ones(3, int)), "one whole number to each sample"),
        (lambda: Conditioning(8, classes=3, key=KEY)(0.5, 1.0), "one whole number to each sample"),
        (lambda: perceptron(2, classes=3)(0.5, jnp.ones(2), 4), "no class 4; labels run from 0 to 3"),
        (lambda: perceptron(2, condition_dim=3)(0.5, jnp.ones(2), jnp.ones(2)), r"shape \(2,\) .* condition_dim=3"),
        (lambda: perceptron(2, classes=3, condition_dim=3), "classes or condition_dim, not both"),
        (lambda: perceptron(2, condition_dim=0), "condition_dim is at least 1"),
        (lambda: ClassEmbedding(0, 4, key=KEY), "at least one class"),
        (lambda: perceptron((2, 0)), r"shape of a network is at least 1, and \(2, 0\)"),
        (lambda: ResidualMLP(2, width=8, depth=0, key=KEY), "depth of a network is at least 1, and 0"),
        (lambda: FourierEmbedding(7), "even and at least 2, and 7"),
        (lambda: FourierEmbedding(8, lowest=20.0), "from 20 to 12 are not positive and in order"),
        (
            lambda: transformer((1, 8, 6), patch=4),
            r"Axis 2 of the shape \(1, 8, 6\) has 6 points.* 4 .*1, 2, 3, 6 would fit",
        ),
        (lambda: transformer((1, 8, 6), patch=(2, 0)), "Axis 2"),
        (lambda: transformer((1, 8, 6), patch=(2,)), "1 edges of a patch were given for 2 axes"),
        (lambda: transformer((6,)), "add a channel axis"),
        (lambda: PatchTransformer((1, 8), width=10, heads=4, key=KEY), "10 cannot be shared by 4 heads"),
    ],
)
def test_mistakes_are_told(mistake, message):
    with pytest.raises(InputError, match=message) as found:
        mistake()
    assert str(found.value).count(". ") == 0
