"""The report of a reproduction: what the paper claims, what was measured, and whether the claim holds here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathline.papers import Reproduction
from pathline.report.blocks import Badge, Figure, Table, Text
from pathline.report.html import format_number, write_report

_SIGNS = {"<=": "≤", ">=": "≥"}


def write_reproduction_report(run: Path, done: Reproduction) -> Path:
    """Write the report of a reproduction.

    Arguments:
        run: the run directory.
        done: from `pathline.papers.reproduce`.

    Returns:
        The path of `report.html`; the figures lie beside it in `figures/`.

    Raises:
        InputError: the directory cannot be written.
    """
    figures = reproduction_figures(done)
    return write_report(
        run,
        title=done.paper.title,
        subtitle=f"{', '.join(done.paper.authors)}. {done.paper.venue} ({done.paper.year}). {done.paper.summary}",
        verdict=verdict(done.record),
        blocks=[claims_table(done.record), *notes(done.record), *figures, measured_table(done.record)],
        command=f"pathline reproduce {done.paper.slug} --preset {done.record['preset']}",
    )


def reproduction_figures(done: Reproduction) -> list[Figure]:
    """The figures of a reproduction as blocks, e.g. for `write_figures(results / slug, ...)`."""
    captions = done.outcome.captions
    return [Figure(name, captions.get(name, name), draw) for name, draw in done.outcome.figures.items()]


def verdict(record: Mapping[str, Any]) -> str:
    """How the claims fare, in one sentence.

    Arguments:
        record: the content of `results/<slug>.json`.
    """
    held, total = sum(bool(claim["holds"]) for claim in record["claims"]), len(record["claims"])
    if record["preset"] == "smoke":
        return f"Every part ran; at smoke scale nothing is trained, so that {held} of {total} claims hold says nothing."
    scale = f"at {record['preset']} scale"
    if total == 1:
        return f"The claim {'holds' if held else 'does not hold'} {scale}."
    if held == total:
        return f"All {total} claims hold {scale}."
    if held == 0:
        return f"None of the {total} claims holds {scale}."
    return f"{held} of {total} claims {_agree(held, 'hold')} {scale}; {total - held} {_agree(total - held, 'fail')}."


def claims_table(record: Mapping[str, Any]) -> Table:
    """Each claim with its judgement, what was measured, what was asked, and the paper's own figure."""
    return Table(
        columns=("Verdict", "Claim", "Measured", "Asked", "Paper"),
        rows=[
            (
                Badge("holds", True) if claim["holds"] else Badge("fails", False),
                claim["text"],
                spread(claim["measured"]),
                f"{_SIGNS[claim['comparison']]} {format_number(claim['threshold'])}",
                claim["paper"],
            )
            for claim in record["claims"]
        ],
        caption=f"The claims and what was measured. {circumstances(record)}",
    )


def measured_table(record: Mapping[str, Any]) -> Table:
    """Everything that was measured, including what no claim uses."""
    rows = [(name, spread(value)) for name, value in record["measured"].items()]
    return Table(("Quantity", "Value"), rows, "Everything that was measured: the mean over seeds, then their range.")


def notes(record: Mapping[str, Any]) -> list[Text]:
    """What a reader must know to judge the numbers; nothing when there is nothing to say."""
    return [Text(record["notes"], heading="How to read this")] if record.get("notes") else []


def circumstances(record: Mapping[str, Any]) -> str:
    """Scale, time, device, versions and seeds of a run, in one line."""
    versions = record.get("versions", {})
    named = {"python": "Python", "jax": "JAX", "pathline": "Pathline"}
    with_versions = ", ".join(f"{named.get(name, name)} {version}" for name, version in versions.items())
    seeds = record.get("seeds", [])
    return (
        f"Preset {record['preset']}, {record['wall_s']:.0f} s on {record['device']}"
        + (f"; {with_versions}" if with_versions else "")
        + (f"; seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}" if seeds else "")
        + "."
    )


def spread(measured: float | list[Any] | None) -> str:
    """A number; over several seeds the mean and the range: `0.63 (0.60 to 0.66)`."""
    seeds = measured if isinstance(measured, list) else [measured]
    values = [float(value) for value in seeds if value is not None]
    if not values or len(values) < len(seeds):
        return format_number(None)
    mean = format_number(sum(values) / len(values))
    low, high = format_number(min(values)), format_number(max(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def _agree(count: int, verb: str) -> str:
    return verb + "s" if count == 1 else verb
