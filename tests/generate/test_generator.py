"""The method behind the command: it learns, it draws in the data's units, it is a density, and it is saved."""

import jax
import numpy as np
import pytest

from pathline.data import Samples, builtin_samples
from pathline.errors import InputError
from pathline.generate import SAMPLERS, Flow, Gaussian, StudentT, evaluate_samples, evaluation_curve, split_samples
from pathline.systems import two_moons
from pathline.train import load, save

KEY = jax.random.key(0)


def assert_alike(drawn, real, *, mean, deviation):
    """Means within so many standard deviations of the data, deviations within that share."""
    unit = real.std(axis=0)
    assert np.isfinite(drawn).all()
    assert np.abs((drawn.mean(axis=0) - real.mean(axis=0)) / unit).max() < mean
    assert np.abs(drawn.std(axis=0) / unit - 1).max() < deviation


QUICK = {"updates": 300, "width": 32, "depth": 2}


@pytest.fixture(scope="module")
def plane():
    """Two blobs, far apart and far from the origin, of different class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1200)
    values = np.where(labels[:, None] == 0, [100.0, -3.0], [140.0, 5.0]) + rng.normal(size=(1200, 2)) * [4.0, 1.0]
    return Samples(values, labels, classes=("left", "right"), title="blobs")


@pytest.fixture(scope="module")
def generator(plane):
    return Flow(**QUICK).fit(plane, key=KEY, progress=False)


def test_samples_come_in_the_units_of_the_data(generator, plane):
    found = generator.sample(jax.random.key(1), 600)
    assert found.values.shape == (600, 2) and found.title == "blobs"
    assert_alike(found.values, plane.values, mean=0.15, deviation=0.15)
    again = generator.sample(jax.random.key(1), 600)
    np.testing.assert_array_equal(found.values, again.values)


def test_classes_are_drawn_as_asked(generator):
    free = generator.sample(jax.random.key(2), 400)
    assert 120 < free.labels.sum() < 280
    left = generator.sample(jax.random.key(2), 200, labels="left")
    right = generator.sample(jax.random.key(2), 200, labels=np.ones(200, int), guidance=1.0)
    assert (left.values[:, 0] < 120).mean() > 0.97 and (right.values[:, 0] > 120).mean() > 0.97
    assert (left.labels == 0).all() and (right.labels == 1).all()


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_named_sampler_runs(generator, plane, name):
    found = generator.sample(jax.random.key(3), 200, sampler=name, steps=40)
    # What a wrong conversion would miss by tens of standard deviations.
    assert_alike(found.values, plane.values, mean=0.4, deviation=0.4)


def test_it_is_a_density(generator, plane):
    found = generator.log_density(Samples(plane.values[:40], plane.labels[:40], classes=plane.classes))
    # The truth: one blob is known to be meant.
    centres = np.where(plane.labels[:40, None] == 0, [100.0, -3.0], [140.0, 5.0])
    exact = -0.5 * (((plane.values[:40] - centres) / [4.0, 1.0]) ** 2).sum(axis=1) - np.log(2 * np.pi * 4.0)
    assert abs(np.mean(found - exact)) < 0.3 and np.corrcoef(found, exact)[0, 1] > 0.8
    rough = generator.log_density(Samples(plane.values[:40], plane.labels[:40], classes=plane.classes), key=KEY)
    assert abs(np.mean(rough - found)) < 0.3
    with pytest.raises(InputError, match=r"shape \(3,\) and the model \(2,\)"):
        generator.log_density(Samples(np.zeros((5, 3))))


def test_saved_and_loaded(generator, tmp_path):
    save(tmp_path, generator)
    again = load(tmp_path).sample(KEY, 20, steps=5)
    np.testing.assert_array_equal(again.values, generator.sample(KEY, 20, steps=5).values)


@pytest.mark.parametrize(
    "settings",
    [
        {"path": "trigonometric"},
        {"path": "vp"},
        {"path": "cosine", "predict": "v"},
        {"path": "edm"},
        {"path": "edm", "degrees": 4.0},
        {"coupling": "transport", "batch_size": 64},
        {"predict": "data", "degrees": 8.0},
        {"reflow": 1},
    ],
    ids=str,
)
def test_every_choice_learns_two_moons(settings):
    moons = Samples(np.asarray(two_moons(KEY, 1000)), title="moons")
    found = Flow(**QUICK, **settings).fit(moons, key=KEY, progress=False)
    sampler = "ddim" if settings.get("path") in ("vp", "cosine", "edm") else "heun"
    drawn = found.sample(jax.random.key(1), 500, sampler=sampler, steps=40).values
    assert_alike(drawn, moons.values, mean=0.25, deviation=0.25)
    law = found.fields.path.law
    assert law == (StudentT(settings["degrees"]) if "degrees" in settings else Gaussian())


def test_images_stay_between_black_and_white():
    digits = builtin_samples("digits")
    few = Samples(digits.values[:200], digits.labels[:200], classes=digits.classes, title="digits")
    mlp = Flow(updates=20, width=16, depth=1).fit(few, key=KEY, progress=False)
    drawn = mlp.sample(KEY, 9, steps=4)
    assert drawn.values.shape == (9, 1, 8, 8) and drawn.values.min() >= 0 and drawn.values.max() <= 1
    patches = Flow(updates=4, width=16, depth=1, network="transformer", batch_size=8).fit(few, key=KEY, progress=False)
    assert patches.sample(KEY, 4, steps=3).values.shape == (4, 1, 8, 8)


def test_evaluation_tells_good_from_bad(generator, plane):
    training, held_out = split_samples(plane)
    drawn = generator.sample(KEY, 240)
    good = evaluate_samples(drawn, held_out, training, key=KEY)
    noise = Samples(plane.values.mean(axis=0) + 40 * np.random.default_rng(1).normal(size=(240, 2)))
    bad = evaluate_samples(noise, held_out, training, key=KEY)
    for name in ("sliced Wasserstein", "MMD", "Fréchet"):
        assert good.generated[name] < 0.5 * bad.generated[name]
    assert good.generated["precision"] > 0.7 > bad.generated["precision"]
    assert good.real == bad.real and good.counts == 240 and "classifier" in good.features
    copies = Samples(training.values[:240])
    assert evaluate_samples(copies, held_out, training, key=KEY).copied > 0.9 > 0.4 > good.copied


def test_curve_of_quality_against_cost(generator, plane):
    _, held_out = split_samples(plane)
    curves = evaluation_curve(generator, held_out, key=KEY, samplers=("euler", "heun"), evaluations=(2, 8), count=200)
    assert list(curves) == ["euler", "heun"]
    for used, distance in curves.values():
        assert used.tolist() == [2.0, 8.0] and np.isfinite(distance).all()


def test_splitting_is_repeatable_and_complete(plane):
    training, held_out = split_samples(plane, 0.25)
    assert (len(training), len(held_out)) == (900, 300) and training.classes == plane.classes
    both = np.concatenate([training.values, held_out.values])
    np.testing.assert_array_equal(np.sort(both[:, 0]), np.sort(plane.values[:, 0]))
    np.testing.assert_array_equal(split_samples(plane, 0.25)[1].values, held_out.values)
    with pytest.raises(InputError, match=r"holding out 0\.2 of them leaves too few"):
        split_samples(Samples(np.zeros((12, 2))))


@pytest.mark.parametrize(
    ("settings", "values", "words"),
    [
        ({"updates": 0}, None, "updates of a flow cannot be 0"),
        ({"ema": 1.0}, None, "ema of a flow cannot be 1"),
        ({"degrees": -1.0}, None, "degrees of a flow cannot be -1"),
        ({"degrees": 3.0, "path": "vp"}, None, "needs the path linear or edm, not vp"),
        ({}, np.zeros((10, 2)), "has 10 samples"),
        ({}, np.zeros((100, 2)), "are equal"),
        ({}, np.zeros(100), "is one number"),
    ],
)
def test_mistakes_are_told(settings, values, words):
    data = Samples(np.random.default_rng(0).normal(size=(50, 2)) if values is None else values)
    with pytest.raises(InputError, match=words):
        Flow(**settings).fit(data, key=KEY)


def test_questions_that_make_no_sense_are_told(generator):
    with pytest.raises(InputError, match=r"no sampler 'huen' \(did you mean 'heun'"):
        generator.sample(KEY, 4, sampler="huen")
    with pytest.raises(InputError, match="needs statistics"):
        generator.sample(KEY, 4, sampler="dpm-solver-v3")
    with pytest.raises(InputError, match=r"no class 'lft'.*did you mean 'left'"):
        generator.sample(KEY, 4, labels="lft")
    with pytest.raises(InputError, match="3 labels for 4 samples"):
        generator.sample(KEY, 4, labels=np.zeros(3, int))
