"""``sparsecpu bench``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.common import Speaker, output_options, print_json
from sparsecpu.errors import ParameterError

#: In this order a bare ``sparsecpu bench`` runs them.
_ALL = ("kernels", "linear", "conv", "train", "infer", "topology", "scale")


def _bench_options(command: Callable) -> Callable:
    """Add what all benchmarks share."""
    for option in (
        click.option("--quick", "scope", flag_value="quick", help="Under a minute each."),
        click.option("--full", "scope", flag_value="full", help="As long as it takes."),
        click.option("--plot", type=click.Path(dir_okay=False), help="Draw it: .png, .svg, .pdf."),
        click.option("--blas", default="fastest", show_default=True,
                     help="fastest: look for OpenBLAS's fastest kernels; as-is: do not."),
    ):  # fmt: skip
        command = option(command)
    return output_options(command)


@click.group(invoke_without_command=True)
@_bench_options
@click.pass_context
def bench(ctx: click.Context, **options: Any) -> None:
    """Measure what sparsity buys on this CPU, beside the fastest dense there is.

    Without a subject, all of them run, quickly; give one for more.
    """
    if ctx.invoked_subcommand is None:
        options["scope"] = options["scope"] or "quick"
        if options["plot"] is not None:
            raise ParameterError("plot", options["plot"], "a subject, such as bench linear --plot")
        _measure(_ALL, options)


@bench.command()
@click.option("--shape", "shapes", multiple=True, help="OUTxIN; may be given more than once.")
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--batch", type=int, help="Samples.  [default: 128]")
@click.option("--rounds", type=int, help="Turns of everybody.")
@click.option("--precision", default="fp32", show_default=True,
              help="How our layers read their inputs: fp32, bf16 or fp16.")  # fmt: skip
@_bench_options
def linear(**options: Any) -> None:
    """Time sparse linear layers beside dense and sparse ones of other libraries.

    Everybody takes turns in one process; the figures are medians. Ours include the refresh of the
    transposed values. A ratio is over the parts that a rival has.
    """
    _measure(("linear",), options)


@bench.command()
@click.option("--shape", "shapes", multiple=True,
              help="IN-OUT-SIDE-KERNEL[-STRIDE]; may be given more than once.")  # fmt: skip
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--batch", type=int, help="Samples.  [default: 32]")
@click.option("--rounds", type=int, help="Turns of everybody.")
@_bench_options
def conv(**options: Any) -> None:
    """Time sparse convolutions beside PyTorch's dense ones, in the faster of its layouts."""
    _measure(("conv",), options)


@bench.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A network by name, or sizes such as 784-300-10; may be given more than once.",
)
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--batch", type=int, help="Samples per step.")
@click.option("--rounds", type=int, help="Turns of everybody.")
@click.option("--precision", default="fp32", show_default=True,
              help="How our layers read their inputs: fp32, bf16 or fp16.")  # fmt: skip
@click.option("--rival", "rivals", multiple=True,
              help="Only this one, such as 'dense PyTorch'; may be repeated.")  # fmt: skip
@click.option("--distribution",
              help="erk, er or uniform.  [default: erk for MLPs, uniform for CNNs]")  # fmt: skip
@click.option(
    "--profile",
    is_flag=True,
    help="Show the share of each part of a step, and the times of layers.",
)
@click.option("--memory", is_flag=True,
              help="Measure the memory that steps take, each in a process of its own.")  # fmt: skip
@_bench_options
def train(**options: Any) -> None:
    """Time whole training steps beside dense ones of NumPy, scikit-learn and PyTorch.

    Convolutional networks (vgg-d, alexnet-s, wrn-16-8, …) see 32x32 colour images.
    """
    _measure(("train",), options)


@bench.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A network by name, or sizes such as 784-300-10; may be given more than once.",
)
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--batch", type=int, help="Samples at once.  [default: 1, 16 and 128]")
@click.option("--rounds", type=int, help="Turns of everybody.")
@click.option("--precision", default="fp32", show_default=True,
              help="How our layers read their inputs: fp32, bf16 or fp16.")  # fmt: skip
@click.option("--distribution",
              help="erk, er or uniform.  [default: erk for MLPs, uniform for CNNs]")  # fmt: skip
@_bench_options
def infer(**options: Any) -> None:
    """Time predictions, of one sample and of batches, beside NumPy, PyTorch and SciPy."""
    _measure(("infer",), options)


@bench.command()
@_bench_options
def topology(**options: Any) -> None:
    """Time updates of the topology beside the steps that pay for them."""
    _measure(("topology",), options)


@bench.command()
@click.option("--density", type=float, help="Of the network.  [default: 0.05]")
@_bench_options
def sources(**options: Any) -> None:
    """Measure what each source of inactive weights' momentum finds of it, while training."""
    _measure(("sources",), options)


@bench.command()
@click.option(
    "--neurons", type=int, multiple=True, help="Hidden neurons; may be given more than once."
)
@_bench_options
def scale(**options: Any) -> None:
    """Time steps and updates as width grows from 1,000 neurons, 8 connections each.

    To 1,000,000; with --full to 50,000,000, as far as memory goes.
    """
    _measure(("scale",), options)


@bench.command()
@_bench_options
def published(**options: Any) -> None:
    """Train SET's networks of up to 1.8 million neurons, beside its published minutes."""
    _measure(("published",), options)


@bench.command()
@_bench_options
def ranks(**options: Any) -> None:
    """Time steps that MPI ranks share: mpiexec -n 2 sparsecpu bench ranks."""
    _measure(("ranks",), options)


@bench.command()
@_bench_options
def kernels(**options: Any) -> None:
    """Measure this machine's limits and how near the kernels come to them."""
    _measure(("kernels",), options)


@bench.command()
@click.option("--hidden", help="Sizes of hidden layers.  [default: 1000,1000]")
@click.option("--samples", type=int, help="Training samples of digits28.  [default: 20000]")
@click.option("--epochs", type=int, help="Of everybody.  [default: 8]")
@click.option("--topology", help="Of the sparse networks.  [default: sparse-momentum]")
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="1 - density.")
@click.option("--seed", type=int, help="Of everybody.")
@_bench_options
def accuracy(**options: Any) -> None:
    """Race to the dense network's accuracy: PyTorch, scikit-learn, and sparse networks."""
    _measure(("accuracy",), options)


def _subjects() -> dict[str, Any]:
    """Return the benchmarks by name; a new one is one file and one line here."""
    from sparsecpu.bench.subjects.accuracy import Accuracy
    from sparsecpu.bench.subjects.conv import Conv
    from sparsecpu.bench.subjects.infer import Infer
    from sparsecpu.bench.subjects.kernels import Kernels
    from sparsecpu.bench.subjects.linear import Linear
    from sparsecpu.bench.subjects.published import Published
    from sparsecpu.bench.subjects.ranks import Ranks
    from sparsecpu.bench.subjects.scale import Scale
    from sparsecpu.bench.subjects.sources import Sources
    from sparsecpu.bench.subjects.topology import Topology
    from sparsecpu.bench.subjects.train import Train

    kinds = (
        Kernels, Linear, Conv, Train, Infer, Topology, Sources, Scale, Published, Ranks,
        Accuracy,
    )  # fmt: skip
    return {kind.name: kind for kind in kinds}


def _measure(names: tuple[str, ...], options: dict[str, Any]) -> None:
    """Run subjects one after the other, and print, write or draw what comes out."""
    from sparsecpu.bench import describe
    from sparsecpu.bench.measuring.blas import best_core_type, start_again_under
    from sparsecpu.kernels.machine.compile import compile_clock
    from sparsecpu.kernels.machine.threads import use_threads

    speaker = Speaker(options.pop("quiet") or _silenced())
    scope, wanted = options.pop("scope") or "default", options.pop("threads")
    as_json, picture = options.pop("as_json"), _checked_plot(options.pop("plot"))
    with use_threads(1 if wanted is None else wanted) as threads:
        pass
    for name in ("batch", "rounds"):
        if options.get(name) is not None and options[name] < 1:
            raise ParameterError(name, options[name], "an integer of at least 1")
    core, rates = "default", {}
    choice = options.pop("blas")
    if choice not in ("fastest", "as-is"):
        raise ParameterError("blas", choice, "fastest or as-is")
    subjects = [_subjects()[name](scope, threads, **options) for name in names]
    cases = [subject.cases() for subject in subjects]  # bad arguments are refused before the wait
    if choice == "fastest" and {"linear", "train", "infer"} & set(names):
        import os

        core, rates = best_core_type(threads)
        if core != "default" and os.environ.get("OPENBLAS_CORETYPE") != core:
            speaker.say(f"OpenBLAS is fastest here as {core}; starting again under it")
            sys.exit(start_again_under(core, rates))
    speaker.announce_compilation()
    document: dict[str, Any] = {"machine": describe(threads), "scope": scope}
    document["openblas"] = {"core_type": core, "gflops": rates}
    if not as_json:
        _introduce(document)
    for subject, todo in zip(subjects, cases, strict=True):
        results = _one(subject, todo, speaker, as_json)
        values, lines = subject.verdict(results)
        document[subject.name] = {"results": results, **values, "missing": subject.missing}
        if not as_json:
            lines += [f"not here: {name} ({how})" for name, how in subject.missing.items()]
            click.echo("\n".join([*lines, ""]))
        if picture is not None:
            from sparsecpu.bench.plots import plot

            plot(subject.name, results, document, picture)
            speaker.say(f"drawn: {picture}")
    document["compile_seconds"] = compile_clock.seconds
    if as_json:
        print_json(document)
    else:
        click.echo(f"compiling took {compile_clock.seconds:.1f} s and is in none of these figures")


def _silenced() -> bool:
    """Let rank 0 alone print, where ranks share a job; return whether this is another one."""
    import os

    from sparsecpu.training.mpi import launched, world

    comm = world() if launched() else None
    if comm is None or comm.rank == 0:
        return False
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return True


def _one(subject: Any, todo: list[Any], speaker: Speaker, as_json: bool) -> list[dict[str, Any]]:
    """Run one subject's cases, a line at a time."""
    from sparsecpu.bench.measuring.speedups import LEGEND

    results, noisy = [], False
    if not as_json:
        click.echo(subject.title)
        click.echo(subject.heading())
    for number, case in enumerate(todo, start=1):
        if as_json:
            speaker.say(f"{subject.name} {number}/{len(todo)}")
        results.append(subject.run(case))
        if not as_json:
            row = subject.row(results[-1])
            click.echo(row)
            noisy = noisy or "~" in row
    if noisy:
        click.echo(LEGEND)
    return results


def _introduce(document: dict[str, Any]) -> None:
    machine = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    click.echo(
        f"{machine['cpu']}, {machine['instruction_set']}, {machine['threads']} thread(s) "
        f"({machine['threading_layer']}); {machine['system']}"
    )
    click.echo(f"{versions}; commit {machine['commit'] or 'unknown'}; {machine['date']}")
    rates = document["openblas"]["gflops"]
    if rates:
        seen = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        click.echo(
            f"OpenBLAS, GFLOP/s by core type: {seen}; used: {document['openblas']['core_type']}"
        )
    click.echo("")


def _checked_plot(path: str | None) -> Path | None:
    """Refuse a picture that could not be drawn before anything is measured."""
    if path is None:
        return None
    from sparsecpu.experiments.plots.figures import require_matplotlib

    require_matplotlib()
    target = Path(path)
    if target.suffix.lower() not in (".png", ".svg", ".pdf") or not target.parent.is_dir():
        raise ParameterError("plot", path, "a .png, .svg or .pdf in a folder that exists")
    return target
