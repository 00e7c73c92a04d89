"""What goes wrong in practice: interruptions at any moment, damaged checkpoints, weights that break between two losses."""

import shutil
import signal
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pathline.train.loop
from pathline.errors import InputError
from pathline.train import NonFiniteError, fit, read_history, run_updates
from pathline.train.checkpoints import Checkpoints

KEY = jax.random.key(4)


class Points(eqx.Module):
    used: jax.Array
    spare: jax.Array


def quadratic(model, batch, key):
    return jnp.sum((model.used - batch.mean(0)) ** 2)


def data(samples=64):
    return np.random.default_rng(0).normal(size=(samples, 3)).astype(np.float32)


def start():
    return Points(jnp.zeros(3), jnp.ones(2))


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))]


def same(ours, theirs):
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ctrl_c_at_any_moment_loses_nothing_and_changes_no_bit(tmp_path):
    """Most of the time goes into checkpoints: many interruptions fall into one."""

    def stream(step):
        return data()[step % 8 :: 8]

    options = {"key": KEY, "ema": 0.9, "checkpoint_every": 25}
    whole = fit(start(), stream, quadratic, steps=600, **options)
    rng, interruptions = np.random.default_rng(1), 0

    def armed(step):
        """The alarm is set at the first batch: before, an interrupt would fall into Python's and JAX's own business."""
        if step == begun.setdefault("at", step):
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.002, 0.15))
        return stream(step)

    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        while interruptions < 20:
            begun: dict[str, int] = {}
            try:
                fit(start(), armed, quadratic, steps=600, run=tmp_path, **options)
                break
            except KeyboardInterrupt:
                interruptions += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interruptions >= 5 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = fit(start(), stream, quadratic, steps=600, run=tmp_path, **options)
    same(resumed.model, whole.model)
    same(resumed.ema_model, whole.ema_model)
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])


def test_the_second_ctrl_c_does_not_wait(tmp_path):
    """Of a stream that hangs, the first one is not heard."""

    def stream(step):
        for _ in range(2 if step == 40 else 0):
            signal.raise_signal(signal.SIGINT)
        reached.append(step)
        return data()[step % 8 :: 8]

    reached: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        fit(start(), stream, quadratic, steps=300, key=KEY, run=tmp_path)
    assert max(reached) == 39 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole = fit(start(), lambda step: data()[step % 8 :: 8], quadratic, steps=60, key=KEY)
    resumed = fit(start(), lambda step: data()[step % 8 :: 8], quadratic, steps=60, key=KEY, run=tmp_path)
    same(resumed.model, whole.model)


def test_the_last_ctrl_c_is_not_swallowed(tmp_path):
    def stream(step):
        if step == 4:
            signal.raise_signal(signal.SIGINT)
        return data()

    with pytest.raises(KeyboardInterrupt):
        fit(start(), stream, quadratic, steps=5, key=KEY, run=tmp_path)
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} <= {"3", "4", "5"}


def test_ctrl_c_keeps_the_steps_since_the_last_checkpoint(tmp_path):
    def stream(step):
        if step == 200 and not list(tmp_path.glob("checkpoints/*")):
            raise KeyboardInterrupt
        return data()[step % 8 :: 8]

    with pytest.raises(KeyboardInterrupt):
        fit(start(), stream, quadratic, steps=300, key=KEY, run=tmp_path)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert int(kept.name) >= 200 - 3 * 16


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_file_of_a_checkpoint_is_guarded(tmp_path):
    """A flipped byte anywhere in the newest checkpoint: the weights are right in the end, or the damage is told."""
    options = {"key": KEY, "batch_size": 8}
    whole = fit(start(), data(), quadratic, steps=60, **options)
    fit(start(), data(), quadratic, steps=40, run=tmp_path / "run", checkpoint_every=20, **options)
    rng, told = np.random.default_rng(2), 0
    files = [file for file in sorted((tmp_path / "run/checkpoints/40").rglob("*")) if file.is_file()]
    assert len(files) > 3
    for number, file in enumerate(files):
        for _ in range(2):
            run = tmp_path / f"copy-{number}"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(tmp_path / "run", run)
            victim = run / file.relative_to(tmp_path / "run")
            content = bytearray(victim.read_bytes())
            if not content:
                continue
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
            victim.write_bytes(bytes(content))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                resumed = fit(start(), data(), quadratic, steps=60, run=run, **options)
            told += any("damaged" in str(warning.message) for warning in caught)
            same(resumed.model, whole.model)
    assert told


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_flipped_digit_of_the_description_is_damage_and_not_another_training(tmp_path):
    options = {"key": KEY, "batch_size": 8}
    whole = fit(start(), data(), quadratic, steps=60, **options)
    fit(start(), data(), quadratic, steps=40, run=tmp_path, checkpoint_every=20, **options)
    (about,) = (tmp_path / "checkpoints/40/about").glob("metadata")
    text = about.read_text()
    assert '"batch size": 8' in text
    about.write_text(text.replace('"batch size": 8', '"batch size": 9'))
    with pytest.warns(UserWarning, match="damaged"):
        resumed = fit(start(), data(), quadratic, steps=60, run=tmp_path, **options)
    same(resumed.model, whole.model)
    assert (tmp_path / "checkpoints/damaged-40").is_dir()


def test_arrays_that_read_well_and_are_others_are_damage(tmp_path):
    """What a decompression does not notice, the checksums do: here the arrays of another step."""
    options = {"key": KEY, "batch_size": 8}
    whole = fit(start(), data(), quadratic, steps=60, **options)
    fit(start(), data(), quadratic, steps=40, run=tmp_path, checkpoint_every=20, **options)
    shutil.rmtree(tmp_path / "checkpoints/40/state")
    shutil.copytree(tmp_path / "checkpoints/20/state", tmp_path / "checkpoints/40/state")
    with pytest.warns(UserWarning, match="40 is damaged: the checksums differ"):
        resumed = fit(start(), data(), quadratic, steps=60, run=tmp_path, **options)
    same(resumed.model, whole.model)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(tmp_path):
    fit(start(), data(), quadratic, steps=40, key=KEY, run=tmp_path, checkpoint_every=20)
    for file in (tmp_path / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    history = (tmp_path / "history.csv").read_bytes()
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(InputError, match="Every checkpoint"):
        fit(start(), data(), quadratic, steps=60, key=KEY, run=tmp_path)
    assert (tmp_path / "history.csv").read_bytes() == history
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"20", "40"}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="file"):
            fit(start(), data(), quadratic, steps=3, key=KEY, run=place)


def test_a_run_may_have_any_name(tmp_path):
    run = tmp_path / "naïve run ☃ %20 {1} #?*"
    fit(start(), data(), quadratic, steps=5, key=KEY, run=run)
    found = fit(start(), data(), quadratic, steps=9, key=KEY, run=run)
    same(found.model, fit(start(), data(), quadratic, steps=9, key=KEY).model)
    with pytest.raises(InputError, match=r"for the '\['"):
        fit(start(), data(), quadratic, steps=5, key=KEY, run=tmp_path / "run [1]")


@pytest.mark.parametrize("at", [1, 2, 17, 50])
@pytest.mark.parametrize("part", ["used", "spare"])
def test_weights_that_break_are_seen_at_their_step(tmp_path, at, part):
    """The loss and the gradient of that step are finite; of a weight that the loss does not use they remain so."""
    change = optax.sgd(lambda count: jnp.where(count == at - 1, jnp.inf, 0.1))
    still = optax.sgd(0.1)
    labels = Points(*("change" if name == part else "still" for name in ("used", "spare")))
    optimiser = optax.transforms.partition({"change": change, "still": still}, labels)

    def loss(model, batch, key):
        return quadratic(model, batch, key) + (0 if part == "used" else 1e-3 * jnp.sum(jnp.tanh(model.spare)))

    with pytest.raises(NonFiniteError, match=f"update of step {at} ") as caught:
        fit(start(), data(), loss, steps=50, key=KEY, batch_size=8, run=tmp_path, optimiser=optimiser)
    assert caught.value.checkpoint == tmp_path / "checkpoints" / str(at - 1)
    assert len(read_history(tmp_path / "history.csv")["loss"]) == at
    if at > 1:
        good = fit(start(), data(), loss, steps=at - 1, key=KEY, batch_size=8, optimiser=optax.sgd(0.1))
        checkpoints = Checkpoints(tmp_path / "checkpoints", {})
        found = checkpoints.restore(
            pathline.train.TrainState(good.model, optimiser.init(eqx.filter(good.model, eqx.is_array)), None)
        )
        checkpoints.close()
        assert found is not None
        same(found[1].model, good.model)


def test_infinities_that_were_there_before_are_no_fault():
    masked = Points(jnp.zeros(3), jnp.asarray([-jnp.inf, 0.0]))
    found = fit(masked, data(), quadratic, steps=20, key=KEY)
    assert np.isneginf(found.model.spare[0])
    state, _ = run_updates(lambda s, b, k: (s * jnp.inf, {}), jnp.ones(1), data(), steps=3, key=KEY)
    assert np.isposinf(state[0])


def test_slow_steps_are_dispatched_one_at_a_time(monkeypatch):
    """Otherwise the bar, the history and Ctrl-C would wait for many of them."""

    def update(state, batch, key):
        return state + jax.pure_callback(lambda: time.sleep(0.35) or np.float32(1), jnp.zeros(())), {}

    counts, original = [], pathline.train.loop.dispatch
    monkeypatch.setattr(
        pathline.train.loop, "dispatch", lambda *args, **options: counts.append(args[6]) or original(*args, **options)
    )
    run_updates(update, jnp.zeros(()), data(), steps=5, key=KEY)
    assert counts == [1] * 5
    counts.clear()
    run_updates(lambda state, batch, key: (state + 1, {}), jnp.zeros(()), data(), steps=5000, key=KEY)
    assert sum(counts) == 5000 and len(counts) < 20


def test_large_batches_are_stacked_in_smaller_numbers(monkeypatch):
    def stream(step):
        return data()[step % 8 :: 8]

    small = fit(start(), stream, quadratic, steps=70, key=KEY)
    monkeypatch.setattr("pathline.train.batches.STREAMED_BYTES", 3 * data()[::8].nbytes)
    sizes, place = [], pathline.train.loop.split_streamed
    monkeypatch.setattr(
        pathline.train.loop, "split_streamed", lambda tree, mesh: sizes.append(tree.shape[0]) or place(tree, mesh)
    )
    same(fit(start(), stream, quadratic, steps=70, key=KEY).model, small.model)
    assert set(sizes) <= {1, 3} and 3 in sizes


@pytest.mark.parametrize("batch", ["text", {"x": None}, (), jax.random.key(0)], ids=str)
def test_batches_that_are_no_arrays_are_told(batch):
    with pytest.raises(InputError, match="batch of step 1 must be a tree of arrays"):
        fit(start(), lambda step: batch, quadratic, steps=3, key=KEY)
