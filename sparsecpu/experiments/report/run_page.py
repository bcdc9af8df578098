"""The page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecpu.errors import DataError
from sparsecpu.experiments.parts import HELD_OUT
from sparsecpu.experiments.report.about import about, summary
from sparsecpu.experiments.report.classes import class_table, confusions
from sparsecpu.experiments.report.curves import curves
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    element,
    joined,
    note,
    paragraph,
    section,
)
from sparsecpu.experiments.report.inputs import inputs
from sparsecpu.experiments.report.language import held_out_scores, language
from sparsecpu.experiments.report.layers import layers
from sparsecpu.experiments.report.mistakes import mistakes
from sparsecpu.experiments.report.page import page, repeating
from sparsecpu.experiments.report.quantities import labels, quantities
from sparsecpu.experiments.report.run_facts import RunFacts, versions_of
from sparsecpu.experiments.report.scored import Scored, score_run
from sparsecpu.experiments.report.speed import speed


def run_page(
    run: RunFacts, command: str, *, data: str | None = None, reading: dict[str, Any]
) -> tuple[str, list[str]]:
    """Return the page of a run, and what it could not show, in sentences.

    ``command`` does the run again. It is scored on other ``data`` than its own where some are
    given, and ``reading`` says how these are read.
    """
    missing: list[str] = []
    results: list[Html]
    scored: Scored | str
    if run.task == "language":
        scored = ""
        scores, where = held_out_scores(run)
        if data is not None:
            scores, where = _scores_of_text(run, data, reading, missing) or (scores, where)
        results = language(run, scores, where)
    else:
        scored = score_run(run, data, reading)
        if isinstance(scored, str):
            if data is not None:  # who names data wants to see them
                raise DataError(scored)
            missing.append(f"nothing could be scored: {scored}")
        results = _results(run, scored)
    sections = [
        about(run), section("Results", *results), curves(run), layers(run), inputs(run, scored),
        speed(run), _again(run, command),
    ]  # fmt: skip
    name = Path(run.path).absolute().name
    lead = joined([paragraph(f"{run.config['data']}, {_model(run)}"), summary(run, scored)])
    return page(f"Run {name}", lead, sections), missing


def _model(run: RunFacts) -> str:
    recipe = run.recipe
    if recipe["neurons"] is not None:
        return f"{recipe['neurons']:,} neurons"
    return f"{recipe['init'] or recipe['model']}, {recipe['topology']}"


def _results(run: RunFacts, scored: Scored | str) -> list[Html]:
    """Return what the network gets right and wrong, or why nobody knows."""
    if isinstance(scored, str):
        return [
            paragraph(element("strong", "These could not be shown: "), scored),
            note("The scores above are those that the run kept."),
        ]  # fmt: skip
    parts = [paragraph(f"On {scored.words}.")]
    parts += [note(f"{words[:1].upper()}{words[1:]}.") for words in scored.notes
              if HELD_OUT not in words]  # fmt: skip
    if run.task == "classification":
        parts += class_table(scored.details) + confusions(scored.details)
        return parts + mistakes(scored, run.facts["classes"])
    if run.task == "multilabel":
        return parts + labels(scored.details["labels"])
    return parts + quantities(scored)


def _scores_of_text(
    run: RunFacts, data: str, reading: dict[str, Any], missing: list[str]
) -> tuple[dict[str, float], str] | None:
    """Return the scores of other text, and what it is; note why not where that fails."""
    from sparsecpu.errors import SparseCPUError
    from sparsecpu.experiments.parts import part_to_score
    from sparsecpu.experiments.scoring import scores

    try:
        part = part_to_score(run.network, run.facts, data, None, reading)
        return scores(run.network, part.x, part.y, run.facts), data
    except (SparseCPUError, OSError) as error:
        missing.append(f"{data} could not be scored: {error}")
        return None


def _again(run: RunFacts, command: str) -> Section:
    """Return the command of a run, and what it ran on."""
    result = run.result or {}
    more = []
    if run.config.get("forms"):
        words = "--autotune times the layers again, and may choose other forms than these: "
        forms = ", ".join(f"{name} {form}" for name, form in run.config["forms"].items())
        more.append(note(words + forms + "."))
    versions = ", ".join(f"{name} {version}" for name, version in versions_of(run).items())
    facts = [("CPU", result.get("cpu")), ("ended", result.get("ended")), ("versions", versions)]
    same = note("The same versions on the same kind of CPU give the same bits.")
    return repeating(command, facts, *more, same)
