"""``python -m tests.fuzz``: attack the readers."""

import contextlib
import json
import os
import tempfile
from functools import partial
from pathlib import Path

import click

from tests.fuzz.finds import Find, keep
from tests.fuzz.runner import Campaign
from tests.fuzz.target import Folder, attempt, find_target, targets
from tests.fuzz.worker import case_of


@click.command()
@click.option("--minutes", type=float, default=1.0, show_default=True, help="How long.")
@click.option("--executions", type=int, default=1 << 60, help="End a target after so many cases.")
@click.option("--target", "names", multiple=True, help="What to attack.  [default: everything]")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other cases.")
@click.option("--workers", type=int, help="Processes.  [default: one per CPU]")
@click.option("--out", default="fuzz-finds", show_default=True, help="Folder for finds.")
@click.option("--case", "number", type=int, help="Try this case of one target, and no other.")
@click.option("--replay", type=click.Path(exists=True), help="Try a find.json again.")
@click.option("--keep", "kept", help="With --replay or --case: add it to the corpus by this name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(minutes, executions, names, seed, workers, out, number, replay, kept, as_json):
    """Attack the readers with damaged files; exit 1 if one of them did anything but refuse."""
    if replay is not None:
        find = Find.from_json(json.loads(Path(replay).read_text()))
        return one(find.target, find.files, kept)
    if number is not None:
        return one(names[0], case_of(find_target(names[0]), seed, number), kept)
    names = list(names) or list(targets())
    campaign = Campaign(
        names, seed=seed, seconds=60 * minutes, most=executions, out=Path(out),
        workers=workers or len(os.sched_getaffinity(0)), say=partial(click.echo, err=True),
    )  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt):
        campaign.run()
    rows = {name: row(count) for name, count in campaign.counts.items()}
    click.echo(json.dumps({"seed": seed, "targets": rows}, indent=2) if as_json else table(rows))
    raise SystemExit(1 if campaign.finds else 0)


def row(count):
    """Return what became of one target, as plain values."""
    return {
        "executions": count.executions,
        "per_second": round(count.executions / count.seconds) if count.seconds else 0,
        "megabytes_above_valid": count.peak >> 20,
        "finds": sum(count.finds.values()),
        "different_finds": len(count.finds),
    }


def table(rows):
    """Return counts as a table for people."""
    form = "{:<16}{:>12,}{:>10,}{:>10}{:>8,}{:>11}".format
    heads = ("target", "executions", "a second", "MB above", "finds", "different")
    lines = ["{:<16}{:>12}{:>10}{:>10}{:>8}{:>11}".format(*heads)]
    return "\n".join([*lines, *(form(name, *found.values()) for name, found in rows.items())])


def one(name, files, kept):
    """Try one case in this process and say what comes of it."""
    with tempfile.TemporaryDirectory() as folder:
        failure = attempt(find_target(name), Folder(Path(folder)), files)
    click.echo("refused or read" if failure is None else f"{failure.kind}\n{failure.details}")
    for file, content in files.items():
        click.echo(f"{file}: {len(content)} bytes, {content[:300]!r}")
    if kept:
        keep(name, kept, files)
    raise SystemExit(failure is not None)


if __name__ == "__main__":
    main()
