"""The reproduction runs in every part, on the digits and on files in the formats of the published data."""

import gzip
import json
import struct
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pathline.errors import InputError
from pathline.integrate import Unregularised
from pathline.papers import find_paper, reproduce
from pathline.papers import opening_the_blackbox as paper
from pathline.papers.opening_the_blackbox import images, interpolation, physionet, spiral
from pathline.papers.opening_the_blackbox.classification import Method, OrdinaryClassifier

KEY = jax.random.key(0)


@pytest.mark.slow
def test_smoke(tmp_path):
    done = reproduce(find_paper("opening-the-blackbox"), "smoke", run=tmp_path)
    values = np.concatenate([np.atleast_1d(value) for value in done.record["measured"].values()])
    assert np.isfinite(values).all()
    assert json.loads((tmp_path / "outcome.json").read_text()) == done.record
    assert set(done.outcome.figures) == set(done.outcome.captions)
    for draw in done.outcome.figures.values():
        assert isinstance(draw(), matplotlib.figure.Figure)


def test_digits_are_split_once_and_for_all():
    training, test = images.digits()
    assert training.pixels.shape == (1400, 64) and test.pixels.shape == (397, 64)
    assert training.pixels.min() == 0 and training.pixels.max() == 1
    together = np.concatenate([training.pixels, test.pixels])
    assert len(np.unique(together, axis=0)) == 1797, "no digit is in both parts"
    np.testing.assert_array_equal(images.digits()[1].labels, test.labels)


def test_classifier_against_scipy():
    with jax.enable_x64(True):
        model = OrdinaryClassifier(5, 7, key=KEY)
        pixels = np.random.default_rng(0).uniform(size=(3, 5))
        scores, _, _ = model.solve(pixels, Unregularised(), 1e-9, KEY)
        a, b, c = model.inward, model.outward, model.readout

        def field(t, z):
            inner = np.tanh(np.append(z, t) @ np.asarray(a.weight).T + a.bias)
            return np.tanh(np.append(inner, t) @ np.asarray(b.weight).T + b.bias)

        for image, found in zip(pixels, scores, strict=True):
            end = solve_ivp(field, (0, 1), image, rtol=1e-10, atol=1e-10).y[:, -1]
            np.testing.assert_allclose(found, end @ np.asarray(c.weight).T + c.bias, atol=1e-7)


def test_the_weight_falls_exponentially():
    method = Method("m", Unregularised(), 100.0, 10.0)
    weights = [float(method.weight(jnp.asarray(step), 400)) for step in (0, 200, 400)]
    np.testing.assert_allclose(weights, [100.0, np.sqrt(1000.0), 10.0], rtol=1e-6)
    assert Method("m", Unregularised(), 0.3, 0.3).weight(jnp.asarray(7), 400) == 0.3


def test_moments():
    paths = np.random.default_rng(0).normal(size=(4, 50, 2))
    moments = spiral.Moments.of(jnp.asarray(paths))
    np.testing.assert_allclose(moments.mean, paths.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(moments.variance, paths.var(axis=1), rtol=1e-5)
    draws = np.random.default_rng(1).normal(size=(3, 4, 50, 2)) + np.arange(3)[:, None, None, None]
    pooled = jax.vmap(spiral.Moments.of)(jnp.asarray(draws)).pooled()
    np.testing.assert_allclose(pooled.variance, draws.transpose(1, 0, 2, 3).reshape(4, 150, 2).var(axis=1), rtol=1e-4)
    shifted = spiral.Moments(moments.mean + 0.5, moments.variance - 0.1)
    assert float(shifted.distance(moments)) == pytest.approx(0.25 + 0.01, rel=1e-5)


def test_reference_moments_follow_the_equation_at_the_start():
    """At first du1 = -0.1 * 8 dt + 0.2 * 2 dW and du2 = -2 * 8 dt."""
    data = spiral.reference(20_000, KEY)
    dt = spiral.TIMES[1]
    assert data.mean[0].tolist() == [2.0, 0.0] and float(data.variance[0].max()) == 0.0
    assert float(data.mean[1, 0]) == pytest.approx(2 - 0.8 * dt, abs=0.02)
    assert float(data.mean[1, 1]) == pytest.approx(-16 * dt, rel=0.05)
    assert float(data.variance[1, 0]) == pytest.approx(0.16 * dt, rel=0.1)


def write_idx(path, array, *, zipped):
    header = struct.pack(f">{1 + array.ndim}i", 0x800 + array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def write_mnist(folder, count=10):
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
    for part, zipped in (("train", True), ("t10k", False)):
        write_idx(folder / f"{part}-images-idx3-ubyte", pixels, zipped=zipped)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels, zipped=zipped)
    return pixels, labels


def write_physionet(folder, count=6):
    folder.mkdir()
    for record in range(count):
        rows = ["Time,Parameter,Value", f"00:00,RecordID,{record}", "00:00,Age,54", "00:00,Weight,-1"]
        rows += [f"{hour:02d}:07,HR,{60 + record + hour}" for hour in range(0, 48, 3)]
        rows += ["12:40,Temp,36.5", "47:59,Urine,120"]
        (folder / f"{record}.txt").write_text("\n".join(rows))


def test_mnist_files(tmp_path):
    pixels, labels = write_mnist(tmp_path / "mnist")
    for part in images.mnist(tmp_path / "mnist"):
        np.testing.assert_allclose(part.pixels, pixels.reshape(10, 784) / 255)
        np.testing.assert_array_equal(part.labels, labels)
    with pytest.raises(InputError, match="no train-images-idx3-ubyte"):
        images.mnist(tmp_path)
    place = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    place.write_bytes(place.read_bytes() + b"\0")
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte is damaged"):
        images.mnist(tmp_path / "mnist")


def test_physionet_records(tmp_path):
    write_physionet(tmp_path / "set-a")
    training, test = physionet.records(tmp_path / "set-a")
    assert training.values.shape == (4, 49, 37) and test.values.shape == (2, 49, 37)
    rate = physionet.QUANTITIES.index("HR")
    for part in (training, test):
        np.testing.assert_array_equal(np.flatnonzero(part.mask[0, :, rate]), np.arange(0, 48, 3))
        np.testing.assert_allclose(np.diff(part.values[0, ::3, rate][:16]), 3 / 50, rtol=1e-12)
        assert part.mask[0, 13, physionet.QUANTITIES.index("Temp")], "12:40 is nearer to 13 hours"
        assert part.mask[0, 48, physionet.QUANTITIES.index("Urine")]
        assert not part.mask[:, :, physionet.QUANTITIES.index("Weight")].any(), "-1 is no weight"
    (tmp_path / "set-a" / "3.txt").write_text("Time,Parameter,Value\nnoon,HR,60")
    with pytest.raises(InputError, match=r"3\.txt"):
        physionet.records(tmp_path / "set-a")
    with pytest.raises(InputError, match="no records"):
        physionet.records(tmp_path)


def test_encoder_passes_over_empty_hours():
    encoder = interpolation.RecurrentEncoder(3, 8, 5, key=KEY)
    values, mask = jnp.zeros((6, 3)).at[2].set(0.7), jnp.zeros((6, 3), bool).at[2, 1].set(True)
    once = encoder(values, mask)
    again = encoder(values[2:3], mask[2:3])
    np.testing.assert_allclose(once, again, rtol=1e-6)
    assert jnp.abs(once).max() > 0 and not encoder(values, jnp.zeros_like(mask)).any()


@pytest.mark.slow
def test_published_setups_on_small_files(tmp_path, monkeypatch):
    """The code of the published scale, on ten images and six patients."""
    write_mnist(tmp_path / "mnist")
    write_physionet(tmp_path / "physionet")
    small = {"steps": 1, "seeds": 1, "batch_size": 5, "test_batch": 5, "timed_calls": 1}
    monkeypatch.setattr(paper, "MNIST", replace(paper.MNIST, **small, methods=paper.MNIST.methods[:2]))
    monkeypatch.setattr(paper, "MNIST_SDE", replace(paper.MNIST_SDE, **small, methods=paper.MNIST_SDE.methods[1:]))
    monkeypatch.setattr(paper, "PUBLISHED_SPIRAL", paper.SMOKE_SPIRAL)
    latent = replace(paper.PHYSIONET, epochs=1, seeds=1, timed_calls=1, methods=paper.PHYSIONET.methods[1:2])
    monkeypatch.setattr(paper, "PHYSIONET", latent)
    with pytest.raises(InputError, match="--data FOLDER"):
        reproduce(paper.PAPER, "paper")
    outcome = paper.reproduce("paper", KEY, None, tmp_path)
    assert {"mnist-sde nfe ERNSDE", "physionet square_error ERNODE", "spiral nfe ERNSDE"} <= set(outcome.measured)
    assert all(np.isfinite(value).all() for name, value in outcome.measured.items() if "mnist-sde stiff" not in name)
