"""``sparsecpu bench``: a command per subject, all of them measured the same way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.bench_subjects import ALL, SUBJECTS, Subject
from sparsecpu.cli.grouped_help import Command, Group, option
from sparsecpu.cli.options import decorated, output_options
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.tables import folded
from sparsecpu.registries.names import read_name

_PICTURES = (".png", ".svg", ".pdf")

_shared_options = decorated(
    (
        option("--quick", "scope", flag_value="quick", help="Take under a minute each."),
        option("--full", "scope", flag_value="full", help="Take as long as it needs."),
        option(
            "--plot",
            type=click.Path(dir_okay=False),
            help="Draw the figures into this .png, .svg or .pdf.",
        ),
        option(
            "--blas",
            rare=True,
            default="fastest",
            show_default=True,
            help="fastest: try which of OpenBLAS's kernels are fastest here and use those; "
            "as-is: use what OpenBLAS chooses.",
        ),
        output_options,
    )
)


@click.group(cls=Group, invoke_without_command=True)
@_shared_options
@click.pass_context
def bench(ctx: click.Context, **options: Any) -> None:
    """Measure what sparsity buys on this CPU.

    Ours is timed beside the fastest dense engine that is installed.

    Without a subject, the most important ones run, quickly; give one for more.
    """
    if ctx.invoked_subcommand is None:
        options["scope"] = options["scope"] or "quick"
        if options["plot"] is not None:
            expected = "left out, or given to a subject, such as bench linear --plot"
            raise ParameterError("plot", options["plot"], expected)
        _measure([SUBJECTS[name] for name in ALL], **options)


def _command(subject: Subject) -> Callable[..., None]:
    """Return the function behind a subject's command."""

    def measure(**options: Any) -> None:
        _measure([subject], **options)

    measure.__doc__ = subject.help
    return measure


for _subject in SUBJECTS.values():
    _options = decorated((*_subject.options, _shared_options))
    bench.command(_subject.name, cls=Command)(_options(_command(_subject)))


def _measure(
    chosen: Sequence[Subject],
    *,
    scope: str | None,
    plot: str | None,
    blas: str,
    quiet: bool,
    as_json: bool,
    threads: int | None,
    **options: Any,
) -> None:
    """Measure subjects one after the other, and print, write or draw what comes out."""
    from sparsecpu.bench import describe
    from sparsecpu.cli.bench_report import introduce, run_subject
    from sparsecpu.kernels.machine.compile import compile_clock
    from sparsecpu.kernels.machine.threads import use_threads

    speaker = Speaker(quiet or _silenced())
    scope, picture = scope or "default", _checked_plot(plot)
    with use_threads(1 if threads is None else threads) as team:
        pass
    for name in ("batch", "rounds"):
        if options.get(name) is not None and options[name] < 1:
            raise ParameterError(name, options[name], "an integer of at least 1")
    blas = read_name("blas", blas, ("fastest", "as-is"))
    subjects = [subject.load()(scope, team, **options) for subject in chosen]
    cases = [subject.cases() for subject in subjects]  # bad arguments are refused before the wait
    search = blas == "fastest" and any(subject.uses_blas for subject in chosen)
    openblas = _fastest_blas(team, speaker) if search else {"core_type": "default", "gflops": {}}
    speaker.announce_compilation()
    document: dict[str, Any] = {"machine": describe(team), "scope": scope, "openblas": openblas}
    if not as_json:
        introduce(document)
    for subject, todo in zip(subjects, cases, strict=True):
        document[subject.name] = run_subject(subject, todo, speaker, as_json)
        if picture is not None:
            from sparsecpu.bench.plots import plot as draw

            draw(subject.name, document[subject.name]["results"], document, picture)
            speaker.say(f"drawn: {picture}")
    document["compile_seconds"] = compile_clock.seconds
    if as_json:
        print_json(document)
    else:
        took = f"compiling took {compile_clock.seconds:.1f} s and is in none of these figures"
        put(folded(took))


def _fastest_blas(threads: int, speaker: Speaker) -> dict[str, Any]:
    """Return OpenBLAS's rates by core type; start again under the fastest if this is another."""
    from sparsecpu.bench.measuring.blas import best_core_type, start_again_under

    core, rates = best_core_type(threads)
    if core != "default" and os.environ.get("OPENBLAS_CORETYPE") != core:
        speaker.say(f"OpenBLAS is fastest here as {core}; starting again under it")
        sys.exit(start_again_under(core, rates))
    return {"core_type": core, "gflops": rates}


def _silenced() -> bool:
    """Silence all ranks but rank 0, where several share a job; return True on those."""
    from sparsecpu.training.mpi import world

    if world().rank == 0:
        return False
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return True


def _checked_plot(path: str | None) -> Path | None:
    """Refuse a picture that could not be drawn before anything is measured."""
    if path is None:
        return None
    from sparsecpu.experiments.plots.figures import require_matplotlib

    require_matplotlib()
    target = Path(path)
    there = target.parent.is_dir() and os.access(target.parent, os.W_OK)
    if target.suffix.lower() not in _PICTURES or not there:
        raise ParameterError("plot", path, "a .png, .svg or .pdf in a folder that can be written")
    return target
