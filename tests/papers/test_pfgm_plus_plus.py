"""The reproduction runs in every part, and its pieces do what they say."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.laws import StudentT
from pathline.nets import ResidualMLP
from pathline.papers import pfgm_plus_plus as paper
from pathline.papers import reproduce
from pathline.papers.pfgm_plus_plus import exact, learned

KEY = jax.random.key(0)


@pytest.mark.slow
def test_smoke(tmp_path):
    done = reproduce(paper.PAPER, "smoke", run=tmp_path)
    values = np.concatenate([np.atleast_1d(value) for value in done.record["measured"].values()])
    assert np.isfinite(values).all()
    assert json.loads((tmp_path / "outcome.json").read_text()) == done.record
    assert set(done.outcome.figures) == set(done.outcome.captions)
    for draw in done.outcome.figures.values():
        assert isinstance(draw(), matplotlib.figure.Figure)


def test_jitter_is_as_wide_as_student_noise_without_its_tails():
    coupling = learned.Jittered(np.zeros((2, 64), np.float32), math.sqrt(0.5 / 16))
    norms = np.linalg.norm(coupling.pair((jnp.zeros((40_000, 64)), None), KEY).source, axis=1) / 8
    heavy = jax.vmap(lambda key: StudentT(16.0).sample(key, (64,)))(jax.random.split(KEY, 40_000))
    student = np.linalg.norm(heavy, axis=1) / 8
    assert np.log(norms).std() == pytest.approx(np.log(student).std(), rel=0.05)
    assert np.quantile(student, 0.9999) > 1.15 * np.quantile(norms, 0.9999)


def test_a_denoiser_that_is_told_the_truth_has_no_regret():
    """And one that is told a lie has some, for one point of data in closed form: the error of `c x` for `x = s g + k n`."""
    setting = exact.Exact(
        bandwidth=0.5, degrees=(math.inf,), levels=(1.0,), ratios=(1.0, 2.0), states=100_000, images=1
    )
    found = exact.regrets(setting, np.zeros((1, 2), np.float32), KEY)
    assert found[math.inf, 1.0, 1.0] == 1.0
    told, best = 0.25 / 1.25, 0.25 / 4.25

    def error(gain):
        return (1 - gain) ** 2 * 0.25 + gain**2 * 4

    assert found[math.inf, 1.0, 2.0] == pytest.approx(error(told) / error(best), rel=0.02)


def test_all_models_of_the_smoke_preset_share_their_first_step():
    """Equal keys: the limit and the Gaussian model have the same loss from the start; fewer degrees do not."""
    setup = replace(paper.SMOKE_DIGITS, degrees=(4.0, math.inf), network=_network, seeds=2)
    images = np.random.default_rng(0).uniform(-1, 1, (40, 2, 2)).astype(np.float32)
    found = learned.compare(replace(setup, batch_size=16), images, KEY)
    plain = found["D=inf"].loss
    np.testing.assert_allclose(found["D=1e+06"].loss, plain, rtol=5e-3)
    assert np.abs(found["D=4"].loss / plain - 1).max() > 0.02
    assert found["jitter"].samples.shape == (8, 2, 2)


def _network(key):
    return ResidualMLP((2, 2), 8, 1, key=key)


@pytest.mark.slow
def test_published_setup_on_small_files(tmp_path, monkeypatch):
    """The code of the published scale, on twenty images."""
    images = np.random.default_rng(0).uniform(size=(40, 3, 32, 32)).astype(np.float32)
    np.savez(tmp_path / "images.npz", samples=images)
    small = replace(
        paper.SMOKE_DIGITS,
        network=_small,
        path=paper.IMAGES.path,
        degrees=paper.IMAGES.degrees[1::2],
        seeds=1,
        components=3,
    )
    monkeypatch.setattr(paper, "IMAGES", replace(small, batch_size=4))
    monkeypatch.setattr(paper, "Exact", lambda: replace(paper.SMOKE_EXACT, states=4, samples=4))
    with pytest.raises(InputError, match="--data FOLDER"):
        paper.reproduce("paper", KEY, None, None)
    outcome = paper.reproduce("paper", KEY, None, tmp_path / "images.npz")
    assert {"FD D=128 / D=inf", "loss jitter"} <= set(outcome.measured)
    assert all(np.isfinite(value).all() for value in outcome.measured.values())
    assert isinstance(outcome.figures["samples"](), matplotlib.figure.Figure)
    np.savez(tmp_path / "grey.npz", samples=images[:, :1])
    with pytest.raises(InputError, match=r"takes images of \(3, 32, 32\)"):
        paper.reproduce("paper", KEY, None, tmp_path / "grey.npz")


def _small(key):
    return ResidualMLP((3, 32, 32), 8, 1, key=key)
