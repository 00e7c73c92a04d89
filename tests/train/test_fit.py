"""The loop against closed forms and hand-written loops; streams; seeds; the stop at what is not finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathline.errors import InputError
from pathline.train import NonFiniteError, fit, pick_seed, read_history, run_updates
from pathline.train.batches import InMemory
from pathline.train.checkpoints import Checkpoints

KEY = jax.random.key(3)


class Point(eqx.Module):
    weight: jax.Array
    label: str = eqx.field(static=True, default="kept")


def quadratic(model, batch, key):
    return 0.5 * jnp.sum((model.weight - batch.mean(0)) ** 2)


def make(key):
    return eqx.nn.MLP(1, 1, 8, 1, key=key)


def regression(model, batch, key):
    x, y = batch
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


def sine(samples=64):
    x = jnp.linspace(-1, 1, samples)[:, None]
    return x, jnp.sin(3 * x)


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))]


def test_gradient_descent_on_a_quadratic_is_the_closed_form():
    data = jnp.asarray([[1.0, 3.0], [3.0, 5.0]])
    found = fit(Point(jnp.zeros(2)), data, quadratic, steps=50, key=KEY, optimiser=optax.sgd(0.1), ema=0.9)
    iterates = np.asarray([2.0, 4.0]) * (1 - 0.9 ** np.arange(51))[:, None]
    np.testing.assert_allclose(found.model.weight, iterates[-1], rtol=1e-5)
    np.testing.assert_allclose(found.history["loss"], 0.5 * ((iterates[:-1] - [2, 4]) ** 2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(
        found.history["gradient_norm"], np.linalg.norm(iterates[:-1] - [2, 4], axis=1), rtol=1e-4
    )
    average = np.zeros(2)
    for step, new in enumerate(iterates[1:]):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * new
    np.testing.assert_allclose(found.ema_model.weight, average, rtol=1e-5)
    assert found.model.label == "kept"


def test_adam_agrees_with_a_hand_written_loop():
    data, optimiser = (
        sine(),
        optax.chain(optax.clip_by_global_norm(0.5), optax.adam(optax.linear_schedule(1e-2, 0, 40))),
    )
    found = fit(make(KEY), data, regression, steps=40, key=KEY, optimiser=optimiser)
    model = make(KEY)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    losses = []
    for _ in range(40):
        loss, gradient = eqx.filter_value_and_grad(regression)(model, data, None)
        changes, state = optimiser.update(gradient, state)
        model = eqx.apply_updates(model, changes)
        losses.append(float(loss))
    np.testing.assert_allclose(found.history["loss"], losses, rtol=1e-4)
    for ours, theirs in zip(weights(found.model), weights(model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize(("samples", "batch"), [(10, 3), (8, 8), (7, 1)])
def test_each_epoch_sees_each_sample_at_most_once_and_orders_differ(samples, batch):
    def update(state, rows, key):
        return state, {"rows": rows.sum() * 0 + (2.0 ** rows.astype(float)).sum()}

    steps = 3 * (samples // batch)
    _, history = run_updates(update, jnp.zeros(()), jnp.arange(samples), steps=steps, key=KEY, batch_size=batch)
    epochs = history["rows"].astype(int).reshape(3, -1)
    for epoch in epochs:
        seen = [i for bits in epoch for i in range(samples) if bits >> i & 1]
        assert len(seen) == len(set(seen)) == samples // batch * batch
    if samples > batch:
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_step_and_key_reach_the_loss_and_metrics_the_history():
    def loss(model, batch, key, step):
        return quadratic(model, batch, key), {"step": step, "noise": jax.random.normal(key)}

    history = fit(Point(jnp.zeros(1)), jnp.ones((2, 1)), loss, steps=20, key=KEY).history
    np.testing.assert_array_equal(history["step"], np.arange(20))
    assert len(set(history["noise"].tolist())) == 20


def test_a_learning_rule_without_gradients():
    """Random search: keep a proposal when it is better. The state is not a model and no gradient exists."""

    def update(state, batch, key):
        proposal = state + 0.3 * jax.random.normal(key, state.shape)
        old, new = (jnp.sum((x - batch.mean(0)) ** 2) for x in (state, proposal))
        return jnp.where(new < old, proposal, state), {"error": jnp.minimum(old, new)}

    state, history = run_updates(update, jnp.zeros(2), jnp.full((4, 2), 2.0), steps=400, key=KEY)
    assert np.all(np.diff(history["error"]) <= 0) and np.allclose(state, 2.0, atol=0.1)


def test_seeds_together_equal_seeds_alone():
    together = fit(make, sine(), regression, steps=30, key=KEY, batch_size=16, seeds=3)
    assert together.history["loss"].shape == (30, 3) and together.model.layers[0].weight.shape == (3, 8, 1)
    assert len({float(loss) for loss in together.history["loss"][-1]}) == 3
    # One seed alone, in a hand-written loop with the same keys, order and data.
    key, model_key = jax.random.split(KEY)
    data_key, _ = jax.random.split(key)
    source = InMemory(sine(), 16, data_key, 3)
    prepared = source.prepare(0, 30)
    model = make(jax.random.split(model_key, 3)[1])
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    for step in range(30):
        batch = source.take(prepared, jnp.asarray(step), jnp.asarray(step), jnp.asarray(1))
        gradient = eqx.filter_grad(regression)(model, batch, None)
        changes, state = optimiser.update(gradient, state)
        model = eqx.apply_updates(model, changes)
    for ours, theirs in zip(weights(pick_seed(together.model, 1)), weights(model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def batches(step):
    x = np.linspace(-1, 1, 8)[:, None] + 0.01 * step
    return x.astype(np.float32), np.sin(3 * x).astype(np.float32)


def test_streams_by_function_and_by_iterator_agree():
    by_function = fit(make(KEY), batches, regression, steps=45, key=KEY)
    by_iterator = fit(make(KEY), (batches(step) for step in range(45)), regression, steps=45, key=KEY)
    for ours, theirs in zip(weights(by_function.model), weights(by_iterator.model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Counter:
    """An iterator that can be set back, as Grain's can."""

    def __init__(self):
        self.at = 0
        self.made = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        self.made += 1
        return batches(self.at - 1)

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def test_streams_resume(tmp_path):
    whole = fit(make(KEY), batches, regression, steps=60, key=KEY)
    streams = {"function": lambda: batches, "iterator": lambda: (batches(i) for i in range(60)), "grain": Counter}
    for name, stream in streams.items():
        fit(make(KEY), stream(), regression, steps=35, key=KEY, run=tmp_path / name)
        again = stream()
        resumed = fit(make(KEY), again, regression, steps=60, key=KEY, run=tmp_path / name)
        for ours, theirs in zip(weights(resumed.model), weights(whole.model), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert not isinstance(again, Counter) or again.made == 25


def test_a_stream_of_another_kind_is_told(tmp_path):
    class Other(Counter):
        def set_state(self, state):
            raise KeyError("not mine")

    fit(make(KEY), Counter(), regression, steps=5, key=KEY, run=tmp_path)
    with pytest.raises(InputError, match=r"cannot be set back to step 5 .*not mine"):
        fit(make(KEY), Other(), regression, steps=9, key=KEY, run=tmp_path)


def test_a_stream_that_ends_says_when():
    with pytest.raises(InputError, match="ended after 20 steps"):
        fit(make(KEY), (batches(step) for step in range(20)), regression, steps=30, key=KEY)


@pytest.mark.parametrize("at", [1, 2, 37, 90])
def test_nan_stops_at_once_with_the_last_good_state_on_disk(tmp_path, at):
    def planted(step):
        x, y = batches(step)
        return x, y * (np.nan if step == at - 1 else 1.0)

    with pytest.raises(NonFiniteError, match=f"step {at} ") as caught:
        fit(make(KEY), planted, regression, steps=100, key=KEY, run=tmp_path)
    assert caught.value.step == at and caught.value.checkpoint == tmp_path / "checkpoints" / str(at - 1)
    assert len(read_history(tmp_path / "history.csv")["loss"]) == at
    # The checkpoint is the state of an undisturbed training of one step less: going on from it is going on from that.
    healthy = fit(make(KEY), batches, regression, steps=at + 5, key=KEY)
    resumed = fit(make(KEY), batches, regression, steps=at + 5, key=KEY, run=tmp_path)
    for ours, theirs in zip(weights(resumed.model), weights(healthy.model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    history = read_history(tmp_path / "history.csv")["loss"]
    np.testing.assert_allclose(history, healthy.history["loss"], rtol=1e-6)


def test_resume_is_exact_and_history_holds_each_step_once(tmp_path):
    options = {"key": KEY, "batch_size": 16, "ema": 0.99}
    whole = fit(make(KEY), sine(), regression, steps=300, **options)
    fit(make(KEY), sine(), regression, steps=120, run=tmp_path, checkpoint_every=50, **options)
    # What a killed process leaves behind: rows after the checkpoint, the last one torn.
    with (tmp_path / "history.csv").open("a") as file:
        file.write("121,0.5,0.1\n122,0.4")
    resumed = fit(make(KEY), sine(), regression, steps=300, run=tmp_path, **options)
    for one, other in ((resumed.model, whole.model), (resumed.ema_model, whole.ema_model)):
        for ours, theirs in zip(weights(one), weights(other), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    np.testing.assert_allclose(read_history(tmp_path / "history.csv")["loss"], whole.history["loss"], rtol=1e-6)
    # A finished run is only read.
    again = fit(make(KEY), sine(), regression, steps=300, run=tmp_path, **options)
    np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    options = {"key": KEY, "batch_size": 16, "checkpoint_every": 20}
    whole = fit(make(KEY), sine(), regression, steps=60, key=KEY, batch_size=16)
    fit(make(KEY), sine(), regression, steps=40, run=tmp_path, **options)
    for file in (tmp_path / "checkpoints" / "40" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.warns(UserWarning, match="damaged"):
        resumed = fit(make(KEY), sine(), regression, steps=60, run=tmp_path, **options)
    for ours, theirs in zip(weights(resumed.model), weights(whole.model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_training_in_the_same_directory_is_refused(tmp_path):
    fit(make(KEY), sine(), regression, steps=5, key=KEY, batch_size=16, run=tmp_path)
    changed = {
        "batch size": {"batch_size": 8},
        "random key": {"key": jax.random.key(9)},
        "shape of the data": {"data": sine(32)},
    }
    for name, change in changed.items():
        options = {"data": sine(), "key": KEY, "batch_size": 16} | change
        data = options.pop("data")
        with pytest.raises(InputError, match=name):
            fit(make(KEY), data, regression, steps=9, run=tmp_path, **options)


def test_checkpoints_hold_keys_and_keep_two(tmp_path):
    state = {"key": jax.random.key(5), "x": jnp.arange(3), "f": jax.nn.relu}
    checkpoints = Checkpoints(tmp_path, {})
    for step in (1, 2, 3):
        checkpoints.save(step, state, None)
    like = {"key": jax.random.key(0), "x": jnp.zeros(3, int), "f": jax.nn.relu}
    step, found, _ = checkpoints.restore(like)
    assert step == 3 and jax.random.key_data(found["key"]).tolist() == jax.random.key_data(state["key"]).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    checkpoints.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 100}, "batch of 100"),
        ({"steps": 0}, "steps of at least one"),
        ({"data": (jnp.zeros((3, 1)), jnp.zeros((4, 1)))}, "common"),
        ({"data": ()}, "common"),
        ({"data": batches, "batch_size": 4}, "leave batch_size out"),
        ({"data": object()}, "iterable"),
        ({"seeds": 2}, "function from a random key"),
    ],
)
def test_mistakes_are_told(options, message):
    options = {"data": sine(), "steps": 3, "key": KEY} | options
    data = options.pop("data")
    with pytest.raises(InputError, match=message):
        fit(make(KEY), data, regression, **options)


def test_batches_that_differ_in_shape_are_told():
    def ragged(step):
        return np.zeros((step + 1, 1), np.float32), np.zeros((step + 1, 1), np.float32)

    with pytest.raises(InputError, match="differs in shape"):
        fit(make(KEY), ragged, regression, steps=20, key=KEY)


@pytest.mark.parametrize("name", ["lbfgs", "plateau", "adamw with a mask", "multi steps"])
def test_any_optimiser_of_optax(name):
    """Those that look at the loss, search along a line, or gather several gradients."""
    optimiser, most = {
        "lbfgs": (optax.lbfgs(), 1e-6),
        "plateau": (optax.chain(optax.sgd(0.3), optax.contrib.reduce_on_plateau(patience=2)), 1e-3),
        "adamw with a mask": (optax.adamw(0.3, mask=lambda tree: jax.tree.map(lambda leaf: False, tree)), 1e-1),
        "multi steps": (optax.MultiSteps(optax.sgd(0.3), 2).gradient_transformation(), 1e-3),
    }[name]
    data = jnp.asarray([[1.0, 3.0], [3.0, 5.0]])
    for seeds in (None, 2) if name == "plateau" else (None,):
        model = Point(jnp.zeros(2)) if seeds is None else (lambda key: Point(jax.random.normal(key, (2,))))
        found = fit(model, data, quadratic, steps=60, key=KEY, optimiser=optimiser, seeds=seeds)
        assert np.all(found.history["loss"][-1] < most)


def test_complex_weights_go_downhill():
    def loss(model, batch, key):
        return jnp.sum(jnp.abs(model.weight - (1 + 2j)) ** 2)

    found = fit(Point(jnp.zeros(2, jnp.complex64)), jnp.ones(4), loss, steps=100, key=KEY, optimiser=optax.sgd(0.1))
    np.testing.assert_allclose(found.model.weight, 1 + 2j, rtol=1e-5)


class Scaled(eqx.Module):
    """A loss with an array of its own."""

    scale: jax.Array

    def __call__(self, model, batch, key):
        return self.scale * quadratic(model, batch, key)

    def method(self, model, batch, key):
        return self(model, batch, key)


def test_a_loss_may_be_a_module_or_its_method():
    data, scaled = jnp.ones((4, 2)), Scaled(jnp.asarray(2.0))
    plain = fit(Point(jnp.zeros(2)), data, quadratic, steps=20, key=KEY, optimiser=optax.sgd(0.2))
    for loss in (scaled, scaled.method, eqx.Partial(quadratic)):
        rate = 0.2 if isinstance(loss, eqx.Partial) else 0.1
        found = fit(Point(jnp.zeros(2)), data, loss, steps=20, key=KEY, optimiser=optax.sgd(rate))
        np.testing.assert_allclose(found.model.weight, plain.model.weight, rtol=1e-5)
    assert float(scaled.scale) == 2.0


def test_what_is_not_a_weight_stays():
    class Mixed(eqx.Module):
        weight: jax.Array
        table: np.ndarray
        count: jax.Array
        key: jax.Array
        nothing: None
        rate: float
        act: object

    model = Mixed(jnp.zeros(2), np.arange(3), jnp.arange(2), jax.random.key(7), None, 0.5, jax.nn.relu)
    found = fit(model, jnp.ones((4, 2)), quadratic, steps=10, key=KEY, ema=0.9, optimiser=optax.sgd(0.1))
    for one in (found.model, found.ema_model):
        np.testing.assert_array_equal(one.table, np.arange(3))
        np.testing.assert_array_equal(one.count, np.arange(2))
        assert jax.random.key_data(one.key).tolist() == jax.random.key_data(model.key).tolist()
        assert (one.nothing, one.rate, one.act) == (None, 0.5, jax.nn.relu) and np.all(one.weight > 0)


def test_double_precision_resumes(tmp_path):
    with jax.enable_x64(True):
        data = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), sine())
        whole = fit(make(KEY), data, regression, steps=60, key=KEY, batch_size=16)
        fit(make(KEY), data, regression, steps=25, key=KEY, batch_size=16, run=tmp_path)
        resumed = fit(make(KEY), data, regression, steps=60, key=KEY, batch_size=16, run=tmp_path)
    for ours, theirs in zip(weights(resumed.model), weights(whole.model), strict=True):
        assert ours.dtype == np.float64
        np.testing.assert_array_equal(ours, theirs)


def test_a_metric_must_not_hide_the_loss():
    def loss(model, batch, key):
        return quadratic(model, batch, key), {"loss": jnp.zeros(())}

    with pytest.raises(InputError, match="'loss' is always kept"):
        fit(Point(jnp.zeros(1)), jnp.ones((2, 1)), loss, steps=3, key=KEY)


def test_nan_in_a_stream_keeps_its_place(tmp_path):
    """Also in an iterator that can be set back, whose state is known at the ends of dispatches only."""

    class Planted(Counter):
        def __next__(self):
            x, y = super().__next__()
            return x, y * (np.nan if planted and self.at == 51 else 1.0)

    planted = True
    with pytest.raises(NonFiniteError, match="step 51 "):
        fit(make(KEY), Planted(), regression, steps=80, key=KEY, run=tmp_path)
    planted, again = False, Planted()
    resumed = fit(make(KEY), again, regression, steps=80, key=KEY, run=tmp_path)
    whole = fit(make(KEY), batches, regression, steps=80, key=KEY)
    for ours, theirs in zip(weights(resumed.model), weights(whole.model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.made <= 30 + 16


@pytest.mark.parametrize("ema", [-0.1, 1.0, 2.0])
def test_a_decay_out_of_range_is_told(ema):
    with pytest.raises(InputError, match="decay"):
        fit(make(KEY), sine(), regression, steps=3, key=KEY, ema=ema)
