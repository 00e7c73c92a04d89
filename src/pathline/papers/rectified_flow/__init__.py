"""Rectified flow: learn the straight paths of random pairs, then of the flow's own pairs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
from jaxtyping import Array

from pathline.data import Samples, builtin_samples, read_samples
from pathline.errors import InputError
from pathline.generate.fields import Model
from pathline.nets import PatchTransformer
from pathline.papers.paper import Claim, Measured, Outcome, Paper, Preset
from pathline.papers.rectified_flow import domains, figures, images, planar
from pathline.papers.rectified_flow.images import Images
from pathline.papers.rectified_flow.planar import Planar, Transport

PLANE = Planar()
DIGITS = Images()
SMOKE_PLANE = Planar(1, 300, steps=4, later_steps=3, batch_size=64, width=16, test_points=60, quadrature=8)
SMOKE_DIGITS = Images(
    1,
    steps=4,
    later_steps=3,
    brief_steps=2,
    batch_size=64,
    pairs=64,
    generated=128,
    chunk=64,
    curve=(1, 2),
    tolerance=1e-2,
)


def transformer(key: Array, shape: tuple[int, ...]) -> Model:
    """The network of the published scale, in place of the authors' U-Net."""
    return PatchTransformer(shape, width=512, depth=12, heads=8, key=key)


# The published settings of CIFAR-10, and the toy of the authors' notebook.
PUBLISHED_PLANE = replace(PLANE, steps=10_000, later_steps=10_000, batch_size=2048, width=100)
PUBLISHED_IMAGES = Images(
    seeds=1,
    network=transformer,
    steps=1_300_000,
    later_steps=300_000,
    brief_steps=30_000,
    batch_size=128,
    learning_rate=2e-4,
    ema=0.9999,
    pairs=1_000_000,
    tolerance=1e-5,
    generated=50_000,
    chunk=1000,
)


def reproduce(preset: Preset, key: Array, run: Path | None, data: Path | None) -> Outcome:
    """Rounds of reflow in the plane, a transfer both ways, and images in one step."""
    plane_key, domain_key, image_key = jax.random.split(key, 3)
    plane, setup = {
        "smoke": (SMOKE_PLANE, SMOKE_DIGITS),
        "laptop": (PLANE, DIGITS),
        "paper": (PUBLISHED_PLANE, PUBLISHED_IMAGES),
    }[preset]
    # The images are read before anything is trained: a missing folder is told at once.
    samples = builtin_samples("digits") if preset != "paper" else _images(data)
    seeds = planar.run(plane, plane_key)
    found = domains.run(plane, domain_key)
    drawn = images.run(setup, samples, image_key)
    measured = {**_of_plane(seeds), **_of_domains(found), **_of_images(drawn)}
    pictures = {
        "rounds": partial(figures.rounds_figure, seeds[0]),
        "steps": partial(figures.steps_figure, seeds),
        "domains": partial(figures.domains_figure, found),
        "images": partial(figures.images_figure, drawn),
        "samples": partial(figures.samples_figure, drawn[0]),
    }
    return Outcome(measured, pictures, CAPTIONS, seeds=tuple(range(plane.seeds)), notes=NOTES)


def _images(data: Path | None) -> Samples:
    if data is None:
        raise InputError(
            "The paper preset of rectified-flow needs --data FOLDER, a folder of images of one size (CIFAR-10 as PNG files, "
            "for example) or an NPZ file of them."
        )
    return read_samples(data)


def _of_plane(seeds: Sequence[planar.Seed]) -> dict[str, Measured]:
    """Each quantity of each flow, and then the ratios that claims speak of; a value for each seed."""
    table: dict[str, Measured] = {}
    for name in seeds[0].flows:
        flows = [one.flows[name] for one in seeds]
        for count in flows[0].wasserstein:
            table[f"W2^2 {name}, {count} steps"] = [flow.wasserstein[count] for flow in flows]
        table[f"W2^2 {name}, solved"] = [flow.solved for flow in flows]
        table[f"straightness {name}"] = [flow.straightness for flow in flows]
        table[f"squared cost {name}"] = [flow.squared_cost for flow in flows]
        table[f"cost {name}"] = [flow.cost for flow in flows]
    for name in seeds[0].distilled:
        table[f"W2^2 {name}, distilled"] = [one.distilled[name] for one in seeds]
    table["W2^2 floor"] = [one.floor for one in seeds]
    table["optimal squared cost"] = [one.optimal_cost for one in seeds]
    table["independent squared cost"] = [one.independent_squared_cost for one in seeds]
    table["independent cost"] = [one.independent_cost for one in seeds]
    table["intersection"] = [one.intersection for one in seeds]
    for quantity, of in _RATIOS.items():
        table[quantity] = [of(one) for one in seeds]
    return table


def _excess(seed: planar.Seed, name: str, steps: int) -> float:
    """The squared distance above that of two samples of the target."""
    return seed.flows[name].wasserstein[steps] - seed.floor


def _rounds(seed: planar.Seed) -> list[Transport]:
    return [seed.flows[name] for name in ("1-RF", "2-RF", "3-RF")]


def _largest_cost_ratio(seed: planar.Seed) -> float:
    """Of a round to the one before, over both costs and all rounds."""
    squared = [seed.independent_squared_cost, *(flow.squared_cost for flow in _rounds(seed))]
    plain = [seed.independent_cost, *(flow.cost for flow in _rounds(seed))]
    return max(after / before for costs in (squared, plain) for before, after in pairwise(costs))


def _mismatch(seed: planar.Seed) -> float:
    """Of equation 13, relative: `E|X1 - X0|^2 - E|Z1 - Z0|^2` against `S + V`."""
    first = seed.flows["1-RF"]
    left = seed.independent_squared_cost - first.squared_cost
    return abs(left - first.straightness - seed.intersection) / left


_RATIOS = {
    "one-step excess 2-RF / 1-RF": lambda seed: _excess(seed, "2-RF", 1) / _excess(seed, "1-RF", 1),
    "straightness 2-RF / 1-RF": lambda seed: seed.flows["2-RF"].straightness / seed.flows["1-RF"].straightness,
    "straightness / squared cost, 2-RF": lambda seed: seed.flows["2-RF"].straightness / seed.flows["2-RF"].squared_cost,
    "largest cost ratio of a round": _largest_cost_ratio,
    "squared cost 1-RF / independent": lambda seed: seed.flows["1-RF"].squared_cost / seed.independent_squared_cost,
    "least squared cost / optimal": lambda seed: min(flow.squared_cost for flow in _rounds(seed)) / seed.optimal_cost,
    "mismatch of equation 13": _mismatch,
    "one-step excess VP / 2-RF": lambda seed: _excess(seed, "VP", 1) / _excess(seed, "2-RF", 1),
    "four-step excess VP / 2-RF": lambda seed: _excess(seed, "VP", 4) / _excess(seed, "2-RF", 4),
    "straightness 2-VP / 1-RF": lambda seed: seed.flows["2-VP"].straightness / seed.flows["1-RF"].straightness,
}


def _of_domains(found: domains.Domains) -> dict[str, Measured]:
    return {
        "W2^2 moons to ring": found.forward,
        "W2^2 ring to moons": found.backward,
        "W2^2 two rings": found.forward_floor,
        "W2^2 two sets of moons": found.backward_floor,
        "cycle error": found.cycle_error,
    }


def _of_images(seeds: Sequence[images.Seed]) -> dict[str, Measured]:
    table: dict[str, Measured] = {"FD of resampled images": [one.floor for one in seeds]}
    for name, found in seeds[0].distance.items():
        for count in found:
            what = f"{count} steps" if count else "solved"
            table[f"FD {name}, {what}"] = [one.distance[name][count] for one in seeds]
        table[f"precision {name}, 1 step"] = [one.precision[name] for one in seeds]
        table[f"recall {name}, 1 step"] = [one.recall[name] for one in seeds]
    for name in seeds[0].straightness:
        table[f"straightness of images {name}"] = [one.straightness[name] for one in seeds]
    table["FD distilled 2-RF / distilled 1-RF"] = [
        one.distance["distilled 2-RF"][1] / one.distance["distilled 1-RF"][1] for one in seeds
    ]
    return table


CAPTIONS = {
    "rounds": "Three modes (grey) are carried to three others (orange): trajectories of the flow (blue) over the segments from "
    "their starts to their ends (dashed), after each round and on the curved path of a variance-preserving diffusion.",
    "steps": "How far samples are from the target, by steps of Euler's method and by a solver with adaptive steps. A dot is a "
    "seed, a line the mean; diamonds are maps distilled for one step; dashed, two samples of the target.",
    "domains": "Transfer between two data sets without pairs, by one flow: forwards and backwards. Colours tell where a point "
    "comes from.",
    "images": "Fréchet distance of generated digits to the data, in their first 20 principal components. Dashed, as many draws "
    "from the data themselves.",
    "samples": "The same noise through each model: the first flow solved accurately and in one step, the reflowed one in one "
    "step, and both distilled.",
}

NOTES = (
    "The plane: three Gaussians carried to three others, 2000 test points with equally many of each mode, so that the exact "
    "transport distance is not ruled by the numbers of points in the modes. Images: the digits of scikit-learn in [-1, 1]. Pairs of "
    "a reflow come from the adaptive solver. The last claim fails: here distillation after reflow is worse than distillation "
    "of the first flow. Each distilled map comes close to the flow whose pairs it learns (Fréchet distance 0.09 against 0.08 of the first "
    "flow solved, 0.13 against 0.12 of the second), so that what the second flow lost in its own fit is what remains; in 64 dimensions "
    "and with a thousand and a half images a network can learn the pairs of the first flow directly. A tenth of the training (briefly "
    "distilled) changes the order as little. The paper sees the gain in 3072 dimensions. Reflow does what it promises for the flow itself: "
    "one step of Euler has a Fréchet distance of 0.23 against 9. As in the paper the first flow is better when it is solved accurately. "
    "Settings were chosen on other keys than are run here."
)

PAPER = Paper(
    slug="rectified-flow",
    title="Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
    authors=("Xingchao Liu", "Chengyue Gong", "Qiang Liu"),
    year=2023,
    venue="The Eleventh International Conference on Learning Representations",
    arxiv="2209.03003",
    verb="generate",
    summary="A flow between two distributions is learnt by regression on the straight segments of random pairs. It cannot cross "
    "itself, so it deals the pairs anew, at no larger transport cost; learnt from its own pairs it becomes straight, and one "
    "step of Euler's method is nearly exact. The same regression generates from noise, and transfers between two data sets "
    "without pairs.",
    claims=(
        Claim(
            "one-step",
            "After one reflow, a single Euler step is at most a quarter as far from the target, above the floor.",
            "one-step excess 2-RF / 1-RF",
            "<=",
            0.25,
            "0.03 (FID 12.21 against 378 on CIFAR-10, Table 1a; unverified)",
        ),
        Claim(
            "straighter",
            "One reflow reduces the straightness measure S to at most 2 %.",
            "straightness 2-RF / 1-RF",
            "<=",
            0.02,
            "shown, not tabulated (Figures 3 and 4)",
        ),
        Claim(
            "almost-straight",
            "After one reflow S is at most 1 % of E|Z1 - Z0|^2.",
            "straightness / squared cost, 2-RF",
            "<=",
            0.01,
            "shown, not tabulated (Figures 3 and 4)",
        ),
        Claim(
            "costs-do-not-grow",
            "No round raises the mean distance or squared distance of its pairs by more than 2 %.",
            "largest cost ratio of a round",
            "<=",
            1.02,
            "at most 1 for every convex cost (Theorem 3.5)",
        ),
        Claim(
            "first-round-halves",
            "The first round at least halves the squared cost of the random pairs.",
            "squared cost 1-RF / independent",
            "<=",
            0.5,
            "at most 1 (Theorem 3.5)",
        ),
        Claim(
            "not-below-optimal",
            "No round costs less than 0.95 of optimal transport, which would betray wrong marginals.",
            "least squared cost / optimal",
            ">=",
            0.95,
            "at least 1 (marginals are kept, Theorem 3.3)",
        ),
        Claim(
            "equation-13",
            "What the first round saves is S + V, within 10 %.",
            "mismatch of equation 13",
            "<=",
            0.10,
            "0 for the exact velocity (equation 13)",
        ),
        Claim(
            "curved-one-step",
            "The curved path of equal budget is at least twice as far from the target as 2-RF in one Euler step.",
            "one-step excess VP / 2-RF",
            ">=",
            2.0,
            "37 (FID 451 against 12.21 on CIFAR-10, Table 1a; unverified)",
        ),
        Claim(
            "curved-four-steps",
            "It is so in four Euler steps too.",
            "four-step excess VP / 2-RF",
            ">=",
            2.0,
            "shown, not tabulated (Figure 4)",
        ),
        Claim(
            "curved-stays-curved",
            "Reflow on the curved path leaves S at 5 % or more of that of 1-RF.",
            "straightness 2-VP / 1-RF",
            ">=",
            0.05,
            "shown, not tabulated (Figure 4)",
        ),
        Claim(
            "distil-after-reflow",
            "On digits, a map distilled after reflow has at most 0.85 times the Fréchet distance of one distilled before.",
            "FD distilled 2-RF / distilled 1-RF",
            "<=",
            0.85,
            "0.78 (FID 4.85 against 6.18 on CIFAR-10, Table 1a; unverified)",
        ),
    ),
    reproduce=reproduce,
    pieces=(
        "pathline.generate.reflow",
        "pathline.generate.generate_pairs",
        "pathline.generate.transfer",
        "pathline.generate.distill",
        "pathline.generate.straightness",
        "pathline.generate.intersection",
        "pathline.generate.transport_cost",
        "pathline.generate.nfe_curve",
        "pathline.generate.KernelVelocity",
        "pathline.generate.samplers.Adaptive",
        "pathline.generate.samplers.Euler",
    ),
)
