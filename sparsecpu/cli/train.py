"""``sparsecpu train``."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sparsecpu import __version__
from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.options import LATER, reading
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.cli.recipe_options import recipe_values, unsaid, usual_values
from sparsecpu.cli.signals import exit_code
from sparsecpu.cli.train_options import train_options
from sparsecpu.cli.train_report import result, table
from sparsecpu.cli.train_run import Request, TrainRun
from sparsecpu.cli.unused_options import density_of, refuse_for_data, refuse_unused
from sparsecpu.cli.validated import USUAL as VALIDATION
from sparsecpu.datasets.image_sets import IMAGE_SETS
from sparsecpu.datasets.names import BUNDLED, GENERATED
from sparsecpu.errors import ConflictError, DataError, ResumeError
from sparsecpu.experiments.language import OF_TEXT, STEPS_OF_TEXT
from sparsecpu.experiments.neurons import options_of_neurons
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.run_folder import CHANGEABLE, RunFolder
from sparsecpu.files.places import model_path

_HELP = f"""Train a sparse network on DATA and say what sparsity bought.

DATA is a bundled name ({", ".join(BUNDLED)}), a generated one ({", ".join(GENERATED)}), one that is
found or fetched ({", ".join(IMAGE_SETS)}, openml:NAME, openml:NAME@VERSION), a .csv, .npz or .svm
file, or a folder: of IDX files such as MNIST's, of CIFAR's binary ones, or with a folder of PNG or
JPEG images for each class. Text for a language model is text:FILE, text:FOLDER or text:python, the
standard library; text:FILE:tokens=bytes reads bytes in place of characters,
text:FILE:tokens=bpe,vocabulary=4096 pairs of them. On text the defaults are
--model {OF_TEXT["model"]} --steps {STEPS_OF_TEXT} --optimizer {OF_TEXT["optimizer"]}
--learning-rate {OF_TEXT["learning_rate"]} --weight-decay {OF_TEXT["weight_decay"]}
--label-smoothing {OF_TEXT["label_smoothing"]:g} --batch-size {OF_TEXT["batch_size"]}.

sparsecpu list shows what can be named, with a sentence for each name.

\b
sparsecpu train digits
sparsecpu train digits28 --samples 20000 --density 0.05 --out run
sparsecpu train --resume run
sparsecpu train --resume run --epochs 60
sparsecpu train text:python --density 0.1 --out run
sparsecpu train digits --init model.npz --topology static
"""


@command(help=_HELP)
@train_options
@click.pass_context
def train(ctx: click.Context, data: str | None, **options: Any) -> None:
    """Train a sparse network on DATA and say what sparsity bought."""
    comm = _ranks(options)
    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    request = _requested(ctx, data, options, comm)
    comm.check_same("version", __version__)
    for name, value in {**request.recipe.to_dict(), **_shared(options)}.items():
        comm.check_same(f"--{name.replace('_', '-')}", str(value))
    with _dense_children(options) as dense, _way_on(request):
        run = TrainRun(request, options, comm, speaker)
        if not run.train():
            _end_interrupted(run, speaker)
        finished = None if comm.rank else run.finish()
        comm.wait("rank 0 to score and keep the network")
        if finished is None:
            return
        found = result(run, *finished, dense)
        if run.folder is not None:
            run.folder.keep_result({**found, "timed_epochs": len(run.clock.epochs)})
    print_json(found) if options["as_json"] else put(table(found, run.recipe.steps is None))


def _ranks(options: dict[str, Any]) -> Any:
    """Return the ranks that share the run; all but rank 0 keep quiet."""
    from sparsecpu.training.mpi import world

    comm = world(options["rank_timeout"])
    threads = comm.threads()  # all ranks ask, whatever they were told
    if options["threads"] is None:
        options["threads"] = threads
    if comm.size > 1:
        options["no_dense_timing"] = True  # the cores are taken
    if comm.rank:
        options |= {"quiet": True, "out": None}
    return comm


def _shared(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, beside a recipe's, that ranks must have in common."""
    validation = {name: options[name] for name in VALIDATION}
    resumes = options["resume"] is not None
    return {"resume": resumes, "autotune": options["autotune"], **validation}


def _dense_children(options: dict[str, Any]) -> Any:
    """Return the processes that will time the dense network, or nothing."""
    from sparsecpu.bench.rivals.dense_children import DenseChildren

    if options["no_dense_timing"]:
        return contextlib.nullcontext()
    return DenseChildren(options["threads"])


@contextlib.contextmanager
def _way_on(request: Request) -> Iterator[None]:
    """Say how to go on with a run that the system or the user breaks off inside the block."""
    try:
        yield
    except (OSError, MemoryError, KeyboardInterrupt) as error:
        folder = request.folder or request.new
        with contextlib.suppress(OSError):
            if folder is not None and folder.config.exists():
                error.add_note(f"go on with: sparsecpu train --resume {folder.path}")
        raise


def _requested(ctx: click.Context, data: str | None, options: dict[str, Any], comm: Any) -> Request:
    """Return what is to be trained: what a run's folder says, or what the options do.

    The folder's lock is released when the command ends, however it does.
    """
    if options["resume"] is not None:
        folder = RunFolder(options["resume"])
        ctx.call_on_close(folder.lock.release)
        if comm.rank == 0 and folder.config.exists():
            folder.lock.take()
        return _resumed(ctx, data, options, folder)
    if data is None:
        raise DataError("DATA is missing: give a name, a file or a folder; see sparsecpu train -h")
    chosen = usual_values(ctx, data, options)
    refuse_unused(ctx, chosen)
    chosen |= density_of(ctx, chosen)
    if options["spectrum"] and options["out"] is None:
        raise ConflictError("spectrum", "a run that is not kept", "for the history is in --out")
    if options["neurons"] is not None:
        chosen |= unsaid(ctx, options_of_neurons(options["neurons"]))
    new = None
    if options["out"] is not None:
        new = RunFolder(options["out"])
        ctx.call_on_close(new.lock.release)
    recipe, fits = _recipe(chosen), partial(refuse_for_data, ctx, data)
    return Request(data, reading(options), recipe, new=new, fits=fits)


def _resumed(
    ctx: click.Context, data: str | None, options: dict[str, Any], folder: RunFolder
) -> Request:
    """Return what a run's folder says; options given now must not contradict it.

    Except for those that make it longer, or change how fast it learns from here on.
    """
    config = folder.read_config()
    validation = {name: config.get(name, usual) for name, usual in VALIDATION.items()}
    known = {"DATA": config["data"], **recipe_values(config["recipe"]), **LATER}
    known |= {**config["reading"], **validation}
    given = {"DATA": data, **recipe_values(options), **reading(options)}
    given |= {name: options[name] for name in VALIDATION}
    changes: dict[str, Any] = {}
    for name, value in given.items():
        said = ctx.get_parameter_source(name.lower()) is ParameterSource.COMMANDLINE
        if not said or known[name] == value:
            continue
        typed = name if name == "DATA" else f"--{name.replace('_', '-')}"
        if name not in CHANGEABLE:
            raise ResumeError(f"{typed} is {value!r}; {folder.path} was begun with {known[name]!r}")
        other = "steps" if known["steps"] is not None else "epochs"
        if name in ("epochs", "steps") and name != other:
            raise ResumeError(f"{typed} is {value!r}; {folder.path} counts {other}: give --{other}")
        changes[name] = value
    if options["out"] is not None:
        raise ConflictError("out", "--resume", "which goes on in the folder that it names")
    if options["autotune"]:
        raise ConflictError("autotune", "--resume", "whose layers keep the forms that they have")
    options |= validation
    options["spectrum"] = options["spectrum"] or config.get("spectrum", False)
    options["evaluate_every"] = options["evaluate_every"] or config.get("evaluate_every")
    chosen = dict(config["recipe"])
    if chosen["init"] and not Path(chosen["init"]).exists() and folder.checkpoint.exists():
        chosen["init"] = str(folder.checkpoint)  # which has taken everything from it
    recipe = _recipe(chosen | changes)
    return Request(config["data"], config["reading"], recipe, folder, config, changes=changes)


def _recipe(chosen: dict[str, Any]) -> Recipe:
    """Return the recipe; the model that it starts from may be named by its run's folder."""
    if chosen["init"]:
        chosen["init"] = str(model_path(chosen["init"]).absolute())
    return Recipe(**chosen)


def _end_interrupted(run: TrainRun, speaker: Speaker) -> None:
    """Say how to go on, and end."""
    way = "nothing was kept (--out keeps a run)"
    if run.place:
        way = f"go on with: sparsecpu train --resume {run.place}"
    speaker.say(f"interrupted; {way}")
    sys.exit(exit_code(run.stopper.number or signal.SIGINT))
