"""What ``sparsecpu bench`` prints for people: the machine, and a table that grows line by line."""

from __future__ import annotations

from typing import Any

from sparsecpu.cli.output import Speaker, put
from sparsecpu.reading.live_line import Word


def _put(text: str) -> None:
    """Print lines, broken where they are wider than the terminal."""
    from sparsecpu.experiments.tables import folded

    put(folded(text))


def introduce(document: dict[str, Any]) -> None:
    """Print what is measured on: CPU, versions, BLAS."""
    machine, blas = document["machine"], document["openblas"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    _put(
        f"{machine['cpu']}, {machine['instruction_set']}, {machine['threads']} thread(s) "
        f"({machine['threading_layer']}); {machine['system']}"
    )
    _put(f"{versions}; commit {machine['commit'] or 'unknown'}; {machine['date']}")
    if blas["gflops"]:
        seen = ", ".join(f"{name} {rate:.0f}" for name, rate in blas["gflops"].items())
        _put(f"OpenBLAS, GFLOP/s by core type: {seen}; used: {blas['core_type']}")
    put("")


def run_subject(subject: Any, cases: list[Any], speaker: Speaker, silent: bool) -> dict[str, Any]:
    """Run a subject's cases, unless ``silent`` with a line for each, and return what came out."""
    results = (_run_silently if silent else _run_aloud)(subject, cases, speaker)
    values, lines = subject.verdict(results)
    if not silent:
        for how in dict.fromkeys(subject.missing.values()):
            names = [name for name, other in subject.missing.items() if other == how]
            lines.append(f"not here: {', '.join(names)} ({how})")
        _put("\n".join([*lines, ""]))
    return {"results": results, **values, "missing": subject.missing}


def _run_silently(subject: Any, cases: list[Any], speaker: Speaker) -> list[dict[str, Any]]:
    results = []
    for number, case in enumerate(cases, start=1):
        _show(subject, number, len(cases), speaker)
        results.append(subject.run(case))
    speaker.line.drop()
    return results


def _show(subject: Any, number: int, of: int, speaker: Speaker) -> None:
    """Show which case is measured now."""
    case = f"{subject.name} {number}/{of}"
    speaker.line.show([Word(case, case)], (number - 1) / of)


def _run_aloud(subject: Any, cases: list[Any], speaker: Speaker) -> list[dict[str, Any]]:
    from sparsecpu.bench.measuring.speedups import LEGEND

    results, noisy = [], False
    _put(subject.title)
    put(subject.heading())
    for number, case in enumerate(cases, start=1):
        if speaker.line.live:  # else the rows of the table tell as much
            _show(subject, number, len(cases), speaker)
        results.append(subject.run(case))
        row = subject.row(results[-1])
        put(row)
        noisy = noisy or "~" in row
    if noisy:
        _put(LEGEND)
    return results
