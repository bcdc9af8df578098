"""``sparsecpu report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.grouped_help import command, option
from sparsecpu.cli.names import data_argument
from sparsecpu.cli.options import data_options, quiet_option, reading
from sparsecpu.cli.output import Speaker, beside, in_place


@command()
@click.argument("run")
@data_argument(required=False)
@option(
    "--out",
    type=click.Path(),
    group="output",
    help="The page.  [default: RUN-report.html, beside RUN]",
)
@data_options
@quiet_option
def report(run: str, data: str | None, out: str | None, quiet: bool, **options: Any) -> None:
    """Write a page about RUN: what was trained, and how well, where, and how fast.

    RUN is the folder of a run (sparsecpu train --out) or of a comparison (sparsecpu compare). The
    page is a single file that any browser shows, without a network. A run is scored on what it held
    out of training, or on DATA.

    \b
    sparsecpu train digits --out run
    sparsecpu report run --out digits.html
    """  # noqa: D301
    from sparsecpu.experiments.comparison.result_folder import is_comparison

    speaker = Speaker(quiet)
    speaker.announce_compilation()
    page = beside(run, "report.html") if out is None else Path(out)
    if is_comparison(run):
        text, missing = _of_comparison(run, data)
    else:
        text, missing = _of_run(run, data, reading(options))
    from sparsecpu.files.writing import atomic_write

    replaces = in_place(page)
    with atomic_write(page) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    for words in missing:
        speaker.warn(f"note: {words}")
    speaker.say(f"wrote {page}{replaces}")


def _of_run(run: str, data: str | None, given: dict[str, Any]) -> tuple[str, list[str]]:
    from sparsecpu.cli.repeat import train_command
    from sparsecpu.experiments.report.run_facts import read_facts
    from sparsecpu.experiments.report.run_page import run_page
    from sparsecpu.kernels.machine.threads import use_threads

    facts = read_facts(run)
    command = train_command(facts.config, (facts.result or {}).get("ranks", 1))
    with use_threads(None):
        return run_page(facts, command, data=data, reading=given)


def _of_comparison(run: str, data: str | None) -> tuple[str, list[str]]:
    from sparsecpu.cli.repeat import compare_command
    from sparsecpu.errors import ParameterError
    from sparsecpu.experiments.report.comparison_facts import read_comparison
    from sparsecpu.experiments.report.comparison_page import comparison_page

    if data is not None:
        expected = "nothing: a comparison has the scores of all its runs"
        raise ParameterError("DATA", data, expected)
    found = read_comparison(run)
    ended = len(found.results) == found.planned
    out = None if ended else str(found.path)
    return comparison_page(found, compare_command(found.plan, out)), []
