"""The report of `pathline generate`: the samples, how good they are, and what they cost."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pathline.data import Samples
from pathline.generate import SampleEvaluation
from pathline.report.blocks import Block, Table, Text
from pathline.report.html import write_report
from pathline.report.sample_figures import curve_figure, loss_figure, samples_figure

_BETTER = {
    "sliced Wasserstein": "smaller",
    "MMD": "smaller",
    "Fréchet": "smaller",
    "precision": "larger",
    "recall": "larger",
}


def write_generate_report(
    run: Path,
    generated: Samples,
    *,
    held_out: Samples | None = None,
    evaluation: SampleEvaluation | None = None,
    curve: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]] | None = None,
    history: Mapping[str, np.ndarray] | None = None,
    how: str = "",
    command: str = "",
) -> Path:
    """Write the report of a generator.

    Arguments:
        run: the run directory.
        generated: samples of the model.
        held_out: real samples that it has not seen.
        evaluation: from `pathline.generate.evaluate_samples`; without one (a saved model was sampled) samples stand alone.
        curve: from `pathline.generate.evaluation_curve`.
        history: of the training.
        how: the sampler, in words.
        command: what to type to get this report again.

    Returns:
        The path of `report.html`; the figures lie beside it in `figures/`.

    Raises:
        InputError: the directory cannot be written.
    """
    blocks: list[Block] = [samples_figure(generated, held_out)]
    if evaluation is not None:
        blocks.append(evaluation_table(evaluation))
        blocks.append(Text(_reading(evaluation), "How to read this"))
    if curve:
        floor = None if evaluation is None else evaluation.real["sliced Wasserstein"]
        blocks.append(curve_figure(curve, floor=floor))
    if history and "loss" in history:
        blocks.append(loss_figure(history))
    shape = " x ".join(map(str, generated.shape))
    classes = f" of {len(generated.classes)} classes" if generated.labels is not None else ""
    verdict = f"Drawn by {how}." if evaluation is None else generate_verdict(evaluation, how)
    return write_report(
        run,
        title=f"{generated.title}: {len(generated)} new samples",
        subtitle=f"Each of the shape {shape}{classes}.",
        verdict=verdict,
        blocks=blocks,
        command=command,
    )


def generate_verdict(evaluation: SampleEvaluation, how: str) -> str:
    """How far the samples are from held-out ones, in units of what real samples are, and whether they were copied."""
    distance, floor = evaluation.generated["sliced Wasserstein"], evaluation.real["sliced Wasserstein"]
    ratio = distance / max(floor, 1e-12)
    copied = " Many are close copies of training samples." if evaluation.copied > 0.5 else ""
    return (
        f"By {how}: {ratio:.1f} times as far from held-out samples as real ones are (sliced Wasserstein distance), precision "
        f"{evaluation.generated['precision']:.0%} and recall {evaluation.generated['recall']:.0%} (real samples: "
        f"{evaluation.real['precision']:.0%} and {evaluation.real['recall']:.0%}).{copied}"
    )


def evaluation_table(evaluation: SampleEvaluation) -> Table:
    """Each metric beside what real samples score."""
    rows = [(name, value, evaluation.real[name], _BETTER[name]) for name, value in evaluation.generated.items()]
    return Table(
        ("metric", "generated", "real", "better"),
        rows,
        f"{evaluation.counts} generated samples against as many held-out ones; in the column real, training samples in their "
        "place: no model can do better on average.",
    )


def _reading(evaluation: SampleEvaluation) -> str:
    return (
        f"The Fréchet distance is taken in {evaluation.features}: it compares models of the same data, and cannot be compared "
        "with published figures, which use features of another network. Precision is the share of generated samples that lie "
        "among real ones, recall the share of real ones that lie among the generated.\n\n"
        f"{evaluation.copied:.0%} of the generated samples lie closer to a training sample than nine in ten held-out ones do. A "
        "tenth is expected; far more means that samples were learnt by heart."
    )
