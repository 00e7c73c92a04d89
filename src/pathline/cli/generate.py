"""`pathline generate`: from samples to a generative model and new samples, measured, saved and reported."""

import hashlib
import shlex
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from pathline.atomic import write_arrays, write_json
from pathline.cli.arguments import flag_value, parse, repeatable
from pathline.cli.new_run import new_run
from pathline.data import (
    BUILTIN_SAMPLES,
    FIELDS_SUFFIXES,
    SAMPLES_SUFFIXES,
    Samples,
    builtin_samples,
    read_fields,
    read_samples,
)
from pathline.errors import InputError, nearest
from pathline.generate import (
    METHODS,
    SAMPLERS,
    STATISTICAL,
    Generator,
    SampleEvaluation,
    evaluate_samples,
    evaluation_curve,
    model_statistics,
    split_samples,
)
from pathline.systems import PLANAR
from pathline.train import free_run, load, open_run, read_history, save

_DRAWS = 5000
_COMPARED = 1000


@dataclass(frozen=True)
class GenerateFlags:
    """Learn the law of samples and draw new ones."""

    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="SOURCE")] = None
    """A file (.npz, a table, .nc .zarr .h5 whose frames are taken), a folder of images, a real set (digits) or a density
    in the plane (checkerboard, two-moons, ring, pinwheel)."""
    method: str = "flow"
    """How it is learnt; its settings are flags too."""
    sampler: str = "heun"
    """euler, heun, rk4, edm-heun, ddim, dpm-solver++, unipc, noise-anchored, euler-maruyama, adaptive or dpm-solver-v3."""
    steps: int = 20
    """Of the sampler."""
    n: int = 64
    """How many samples to draw."""
    label: str | None = None
    """Draw samples of this class only."""
    guidance: float = 0.0
    """How much more typical of their class samples are made: 0 not at all, 1 to 3 usual."""
    held_out: float = 0.2
    """Share of the samples that is not trained on and serves to measure."""
    seed: int = 0
    """Of the random key that everything derives from."""
    model: Path | None = None
    """Sample from the fitted model of this run directory instead of fitting."""
    run: Path | None = None
    """Run directory; by default the first free one under runs/."""
    open: bool = False
    """Open the report in a browser."""


def run_generate(arguments: Sequence[str]) -> int:
    """`pathline generate SOURCE`: fit or load, sample, write the run directory, print the table."""
    flags, settings = _parse(arguments)
    if flags.n < 1:
        raise InputError(f"--n cannot be {flags.n}; ask for at least one sample.")
    if flags.sampler not in (*SAMPLERS, STATISTICAL):
        hint = nearest(flags.sampler, (*SAMPLERS, STATISTICAL))
        raise InputError(
            f"There is no sampler {flags.sampler!r}{hint}; there are {', '.join((*SAMPLERS, STATISTICAL))}."
        )
    if flags.steps < 1:
        raise InputError(f"--steps cannot be {flags.steps}; a sampler makes at least one.")
    command = shlex.join(["pathline", "generate", *repeatable(arguments)])
    apply = _fit_and_sample if flags.model is None else _sample_saved
    run, report, lines = apply(flags, settings, command)
    console = Console()
    again = f"Again:   pathline generate --model {shlex.quote(str(run))} --n 100"
    for line in [*lines, f"Samples: {run / 'samples.npz'}", f"Report:  {report}", again]:
        console.print(line, highlight=False, markup=False, soft_wrap=isinstance(line, str))
    if flags.open:
        webbrowser.open(report.resolve().as_uri())
    return 0


def read_source(name: str, seed: int) -> Samples:
    """The samples that the source names: built-in ones, draws of a density in the plane, or a file.

    Raises:
        InputError: there is none of that name, or the file cannot be read.
    """
    path = Path(name)
    if name in BUILTIN_SAMPLES:
        return builtin_samples(name)
    if name in PLANAR:
        return Samples(np.asarray(PLANAR[name](jax.random.key(seed), _DRAWS)), title=name)
    if path.suffix.lower() in FIELDS_SUFFIXES and path.suffix.lower() not in SAMPLES_SUFFIXES:
        return read_fields(path).frames()
    if path.suffix or path.exists():
        return read_samples(path)
    known = [*BUILTIN_SAMPLES, *PLANAR]
    raise InputError(
        f"There are no samples {name!r}{nearest(name, known)}; give a folder of images, a file "
        f"({' '.join((*SAMPLES_SUFFIXES, *FIELDS_SUFFIXES))}) or one of {', '.join(known)}."
    )


def _parse(arguments: Sequence[str]) -> tuple[GenerateFlags, Any]:
    """The flags, and the hyperparameters of the method that they name."""
    name = flag_value(arguments, "--method", "flow")
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}{nearest(name, METHODS)}; there is {', '.join(METHODS)}.")
    both = make_dataclass("Flags", [("flags", GenerateFlags), ("settings", METHODS[name])], frozen=True)
    both.__doc__ = GenerateFlags.__doc__
    given: Any = parse(both, arguments, command="generate")
    return given.flags, given.settings


def _fit_and_sample(flags: GenerateFlags, settings: Any, command: str) -> tuple[Path, Path, list[Any]]:
    from pathline.report import write_generate_report

    if flags.source is None:
        raise InputError(
            "Give samples to learn from (a file, a folder of images, or digits), or --model RUN to sample again."
        )
    samples = read_source(flags.source, flags.seed)
    _check_label(flags, samples.classes)
    training, held_out = split_samples(samples, flags.held_out)
    config = {
        "command": "generate",
        "source": flags.source,
        "data": _fingerprint(samples),
        "method": flags.method,
        "settings": asdict(settings),
        "held_out": flags.held_out,
        "seed": flags.seed,
    }
    run = flags.run or free_run("runs", Path(flags.source).stem)
    fit_key, sample_key, statistics_key, metric_key = jax.random.split(jax.random.key(flags.seed), 4)
    with new_run(run, config, worthless=_holds_nothing) as run:
        generator = settings.fit(training, key=fit_key, run=run)
    console = Console(stderr=True)
    with console.status("sampling") as status:
        if flags.sampler == STATISTICAL:
            status.update("statistics of the model")
            generator = with_statistics(generator, training, statistics_key)
        drawn, shown = _draw(generator, flags, sample_key, max(flags.n, min(len(held_out), _COMPARED)))
        status.update("measuring")
        evaluation = evaluate_samples(drawn, held_out, training, key=metric_key)
        curve = evaluation_curve(generator, held_out, key=metric_key)
        write_samples(run / "samples.npz", shown)
        write_json(run / "metrics.json", asdict(evaluation))
        history = read_history(run / "history.csv")
        status.update("writing the report")
        report = write_generate_report(
            run,
            shown,
            held_out=held_out,
            evaluation=evaluation,
            curve=curve,
            history=history,
            how=_how(flags),
            command=command,
        )
        # The model is written last: a directory that has one holds a finished run.
        save(run, generator)
    return run, report, [evaluation_table(evaluation), *_notes(evaluation, flags)]


def _sample_saved(flags: GenerateFlags, settings: Any, command: str) -> tuple[Path, Path, list[Any]]:
    from pathline.report import write_generate_report

    assert flags.model is not None
    if settings != type(settings)():
        raise InputError(
            "--model samples from what was fitted; settings of a training, such as --path, fit anew: give one."
        )
    generator = load(flags.model)
    if not isinstance(generator, Generator):
        raise InputError(f"{flags.model} holds a {type(generator).__name__}, not a generator; give a run of generate.")
    if flags.sampler == STATISTICAL and generator.statistics is None and flags.source is None:
        raise InputError(
            f"{STATISTICAL} needs statistics of the model, and the run has none; give the training samples as SOURCE too, or fit "
            f"with --sampler {STATISTICAL}."
        )
    _check_label(flags, generator.classes)
    data = None if flags.source is None else read_source(flags.source, flags.seed)
    if data is not None and data.shape != generator.shape:
        raise InputError(
            f"The samples of {flags.source} have the shape {data.shape} and the model {generator.shape}; give such samples."
        )
    config = {"command": "generate", "model": str(flags.model), "source": flags.source, "seed": flags.seed}
    run = open_run(flags.run or free_run("runs", f"{flags.model.name}-sampled"), config)
    sample_key, statistics_key = jax.random.split(jax.random.key(flags.seed))
    with Console(stderr=True).status("sampling"):
        if flags.sampler == STATISTICAL and generator.statistics is None and data is not None:
            generator = with_statistics(generator, data, statistics_key)
        _, shown = _draw(generator, flags, sample_key, flags.n)
        write_samples(run / "samples.npz", shown)
        report = write_generate_report(run, shown, held_out=data, how=_how(flags), command=command)
        save(run, generator)
    return run, report, [f"{flags.n} samples by {_how(flags)}."]


def with_statistics(generator: Generator, samples: Samples, key: jax.Array) -> Generator:
    """The generator with the statistics that DPM-Solver-v3 needs, from training samples."""
    states = np.asarray(generator.standardiser.apply(samples.values), np.float32)[:1024]
    found = model_statistics(generator.fields, states, key=key)
    return eqx.tree_at(lambda one: one.statistics, generator, found, is_leaf=lambda leaf: leaf is None)


def _draw(generator: Generator, flags: GenerateFlags, key: jax.Array, count: int) -> tuple[Samples, Samples]:
    """Samples to be measured, of all classes as they come, and those that were asked for."""
    plain = generator.sample(key, count, steps=flags.steps, sampler=flags.sampler)
    if flags.label is None and flags.guidance == 0:
        return plain, _first(plain, flags.n)
    asked = generator.sample(
        key, flags.n, steps=flags.steps, sampler=flags.sampler, labels=flags.label, guidance=flags.guidance
    )
    return plain, asked


def _first(samples: Samples, count: int) -> Samples:
    labels = None if samples.labels is None else samples.labels[:count]
    classes = None if labels is None else samples.classes
    return Samples(samples.values[:count], labels, classes=classes, title=samples.title)


def _holds_nothing(run: Path) -> bool:
    return {path.name for path in run.iterdir()} <= {"config.json"}


def write_samples(path: Path, samples: Samples) -> None:
    """The samples as `samples` and, where known, their classes as `labels`: the form that `read_samples` reads."""
    arrays = {"samples": samples.values}
    if samples.labels is not None:
        arrays["labels"] = np.asarray(samples.classes)[samples.labels]
    write_arrays(path, arrays)


def evaluation_table(evaluation: SampleEvaluation) -> Table:
    """Each metric beside that of real samples."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("metric", "generated", "real"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, value in evaluation.generated.items():
        table.add_row(name, f"{value:.4g}", f"{evaluation.real[name]:.4g}")
    return table


def _notes(evaluation: SampleEvaluation, flags: GenerateFlags) -> list[str]:
    return [
        f"{evaluation.counts} samples by {_how(flags)} against as many held-out ones; real: training samples in their place. The "
        f"Fréchet distance is in {evaluation.features}.",
        f"{evaluation.copied:.0%} of the generated samples are closer to a training sample than nine in ten held-out ones are "
        "(10% expected; far more means learnt by heart).",
    ]


def _how(flags: GenerateFlags) -> str:
    guided = f", guidance {flags.guidance:g}" if flags.guidance else ""
    steps = "" if flags.sampler == "adaptive" else f" with {flags.steps} step{'s'[: flags.steps != 1]}"
    return f"{flags.sampler}{steps}{guided}"


def _check_label(flags: GenerateFlags, classes: Sequence[str]) -> None:
    if (flags.label is not None or flags.guidance) and not classes:
        raise InputError("--label and --guidance need samples with labels; give a file or folder that has them.")
    if flags.label is not None and flags.label not in classes:
        raise InputError(
            f"There is no class {flags.label!r}{nearest(flags.label, classes)}; there are {', '.join(classes)}."
        )


def _fingerprint(samples: Samples) -> str:
    """Tells whether a run that was interrupted is taken up with the same data."""
    labels = b"" if samples.labels is None else samples.labels.tobytes()
    return hashlib.sha256(samples.values.tobytes() + labels + repr(samples.classes).encode()).hexdigest()[:16]
