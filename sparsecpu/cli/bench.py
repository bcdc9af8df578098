"""``sparsecpu bench``."""

from __future__ import annotations

from typing import Any

import click

from sparsecpu.cli.common import Speaker, output_options, print_json
from sparsecpu.errors import ParameterError

_SHAPES = ("300x784", "1024x1024", "4096x4096")
_SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99)


@click.group()
def bench() -> None:
    """Measure what sparsity buys on this CPU."""


@bench.command()
@click.option("--shape", "shapes", multiple=True, help="OUTxIN; may be given more than once.")
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--batch", type=int, default=128, show_default=True)
@click.option("--rounds", type=int, default=5, show_default=True)
@output_options
def linear(shapes: Any, sparsities: Any, batch: int, rounds: int, **options: Any) -> None:
    """Time sparse linear layers beside dense ones, and beside SciPy's.

    Everybody takes turns in one process; the figures are medians. Ours include the refresh of the
    transposed values.
    """
    from sparsecpu.bench import describe
    from sparsecpu.bench.linear import Case, heading, rivals, row, run
    from sparsecpu.kernels.compile import use_threads

    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    with use_threads(options["threads"] if options["threads"] is not None else 1) as threads:
        pass
    for name, value in (("batch", batch), ("rounds", rounds)):
        if value < 1:
            raise ParameterError(name, value, "an integer of at least 1")
    cases = [
        Case(*_parse(shape), batch, _check(sparsity), threads)
        for shape in shapes or _SHAPES
        for sparsity in sparsities or _SPARSITIES
    ]
    results, machine, (found, missing) = [], describe(threads), rivals()
    if not options["as_json"]:
        click.echo(f"{machine['cpu']}, {machine['instruction_set']}, {threads} thread(s)")
        click.echo(heading(list(found)))
    for number, case in enumerate(cases, start=1):
        results.append(run(case, rounds))
        if options["as_json"]:
            speaker.say(f"{number}/{len(cases)}  {case.name}")
        else:
            click.echo(row(results[-1]))
    if options["as_json"]:
        print_json({"machine": machine, "results": results, "missing": missing})
        return
    for name, how in missing.items():
        click.echo(f"not here: {name} ({how})")


def _parse(shape: str) -> tuple[int, int]:
    try:
        n_out, n_in = (int(part) for part in shape.lower().split("x"))
    except ValueError:
        raise ParameterError("shape", shape, "OUTxIN, such as 1024x784") from None
    if n_out < 1 or n_in < 1:
        raise ParameterError("shape", shape, "OUTxIN, such as 1024x784")
    return n_out, n_in


def _check(sparsity: float) -> float:
    if not 0 <= sparsity < 1:
        raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
    return sparsity
