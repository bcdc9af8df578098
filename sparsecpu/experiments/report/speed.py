"""How fast the run was, beside dense networks, as ``train`` measured it."""

from __future__ import annotations

from typing import Any

from sparsecpu.experiments.report.html import Html, Section, note, paragraph, section, table
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.experiments.report.svg import bars, short_of


def speed(run: RunFacts) -> Section:
    """Return what a step took, what it takes dense, and what the weights take."""
    heading, result = "Speed", run.result
    if result is None:
        why = "The run has not ended" if not run.ended else "The run kept no result.json"
        return section(heading, paragraph(f"{why}: nothing is known of how fast it was."))
    rows = _steps(result)
    parts = [_steps_in_words(result, rows)]
    if len(rows) > 1:
        parts.append(bars("Milliseconds of a training step", "ms", rows))
    parts.append(table("Measured while it trained", ("what", "value"), _facts(result)))
    if len(run.records) > result.get("timed_epochs", len(run.records)):
        timed = f"the last {result['timed_epochs']:,} of {len(run.records):,}"
        parts.append(note(f"The run was resumed: these are of {timed} epochs."))
    return section(heading, *parts)


def _steps(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Return the milliseconds of a step: ours, and those of dense networks that were timed."""
    found = []
    if result.get("step_ms"):
        found.append((f"sparse, {result.get('precision', 'fp32')}", result["step_ms"]))
        for precision, name in (("fp32", "dense"), ("bf16", "dense_bf16")):
            if result.get(f"{name}_step_ms"):
                library = result.get(f"{name}_library") or "?"
                found.append((f"dense, {precision}, {library}", result[f"{name}_step_ms"]))
    return found


def _steps_in_words(result: dict[str, Any], rows: list[tuple[str, float]]) -> Html:
    if not rows:
        return paragraph("No step was timed.")
    (_, ours), *others = rows
    if not others:
        return paragraph(f"A step took {short_of(ours)} ms. The dense network was not timed.")
    label, dense = min(others, key=lambda row: row[1])
    ratio = dense / ours
    verdict = f"{ratio:.2g} times as long as a sparse one"
    if 0.95 <= ratio <= 1.05:
        verdict = "about as long as a sparse one"
    elif ratio < 1:
        verdict = f"{100 * ratio:.0f} % of the time of a sparse one: dense is faster here"
    if result.get(f"dense{'_bf16' * ('bf16' in label)}_verdict") == "unclear":
        verdict = "but both vary too much to tell which is faster"
    return paragraph(
        f"A step took {short_of(ours)} ms. The fastest step of the dense network took "
        f"{short_of(dense)} ms ({label.partition(', ')[2]}), {verdict}."
    )


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what else was measured, where it was."""
    found: list[tuple[str, str | None]] = [
        ("step, milliseconds", _shown(result.get("step_ms"))),
        ("samples per second", _rate(result)),
        ("epoch, seconds", _shown(result.get("seconds_per_epoch"))),
        ("all, seconds", _shown(result.get("seconds"))),
        ("of which compiling", _shown(result.get("compile_seconds"))),
        ("weights, bytes", _count(result.get("weight_bytes"))),
        ("weights if they were dense, bytes", _count(result.get("dense_weight_bytes"))),
        ("threads", _count(result.get("threads"))),
        ("threads of dense networks, at most", _count(result.get("dense_threads"))),
        ("ranks", _count(result.get("ranks")) if result.get("ranks", 1) > 1 else None),
    ]
    return [(name, value) for name, value in found if value is not None]


def _rate(result: dict[str, Any]) -> str | None:
    step, batch = result.get("step_ms"), result.get("batch_size")
    return f"{1e3 * batch / step:,.0f}" if step and batch else None


def _shown(value: float | None) -> str | None:
    return None if value is None else short_of(value)


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"
