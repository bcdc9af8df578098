"""``sparsecpu train``."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from sparsecpu import __version__
from sparsecpu.callbacks import Callback, History
from sparsecpu.cli.common import Speaker, model_path, print_json
from sparsecpu.cli.train_options import train_options
from sparsecpu.cli.watchers import Interruption, ProgressBar, StepClock
from sparsecpu.errors import MemoryBudgetError, ParameterError, ResumeError

#: What --neurons changes where nothing else is asked for.
_OF_NEURONS = {"topology": "gse", "update_every": 8, "epochs": 2, "batch_size": 16}
#: Above so many neurons the last layer learns more slowly: its outputs move by the learning rate
#: times the number of their inputs.
_FULL_RATE = 1_500
#: Above so many weights nothing is noted about their ages, which takes as much memory as they do.
_TRACKED = 20_000_000
#: Runs that need more than this say beforehand what for.
_WORTH_SAYING = 1e9
#: A dense network above this is not timed beside ours.
_DENSE_LIMIT = 1_000_000_000


@click.command()
@train_options
@click.pass_context
def train(ctx: click.Context, data: str | None, **options: Any) -> None:
    """Train a sparse network on DATA and say what sparsity bought.

    DATA is a bundled name (digits, breast-cancer, wine, iris, diabetes), a generated one
    (digits28, make:shapes, make:wide, make:classification, make:regression), a .csv, .npz or .svm
    file, or a folder of IDX files such as MNIST's or of CIFAR's binary ones.

    \b
    sparsecpu train digits
    sparsecpu train digits28 --samples 20000 --density 0.05 --out run
    sparsecpu train --resume run
    sparsecpu train digits --init model.npz --topology static
    """  # noqa: D301
    from sparsecpu.experiments.recipe import Recipe

    options["comm"] = comm = _ranks(options)
    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    reading = {name: options[name] for name in ("samples", "target", "task")}
    if options["neurons"] is not None:
        default = click.core.ParameterSource.DEFAULT
        slower = {"layer_rates": f"head={min(1.0, _FULL_RATE / max(1, options['neurons'])):.3g}"}
        options |= {
            name: value for name, value in (_OF_NEURONS | slower).items()
            if ctx.get_parameter_source(name) is default
        }  # fmt: skip
    recipe_names = {field.name for field in fields(Recipe)}
    chosen = {name: value for name, value in options.items() if name in recipe_names}
    folder, config = None, None
    if options["resume"] is not None:
        data, reading, chosen, folder, config = _resumed(ctx, data, reading, chosen, options)
    elif data is None:
        raise ParameterError("DATA", None, "a name, a file or a folder; see sparsecpu train --help")
    if chosen.get("init"):
        chosen["init"] = str(model_path(chosen["init"]).absolute())
    recipe = Recipe(**chosen)
    if comm is not None:
        comm.check_same("version", __version__)
        comm.check_same("options", str(recipe))
    with _dense_child(options) as dense:
        options["dense"] = dense
        result, interrupted = _run(data, reading, recipe, folder, config, options, speaker)
    if interrupted:
        place = folder.path if folder else options["out"]
        going_on = f"go on with: sparsecpu train --resume {place}"
        speaker.say(f"interrupted; {going_on if place else 'nothing was kept (--out keeps a run)'}")
        sys.exit(130)
    if comm is not None and comm.rank:
        return
    from sparsecpu.cli.train_report import table

    print_json(result) if options["as_json"] else click.echo(table(result))


def _ranks(options):
    """Return the ranks that mpiexec has started, if any; all but rank 0 keep quiet."""
    from sparsecpu.training.mpi import launched, world

    comm = world() if launched() else None
    if comm is not None:
        options["threads"] = options["threads"] or comm.threads()
        options["no_dense_timing"] = True  # the cores are taken
        if comm.rank:
            options |= {"quiet": True, "out": None}
    return comm


def _dense_child(options):
    """Return the process that will time the dense network, or nothing."""
    from sparsecpu.bench.rivals.numpy_mlp import DenseChild

    if options["no_dense_timing"]:
        return contextlib.nullcontext()
    return DenseChild(options["threads"])


def _resumed(ctx, data, reading, chosen, options):
    """Return what a run folder says; options given now must not contradict it."""
    from sparsecpu.experiments.run_folder import RunFolder

    folder = RunFolder(options["resume"])
    config = folder.read_config()
    asked = {**chosen, **reading}
    known = {**config["recipe"], **config["reading"]}
    for name, value in asked.items():
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and known.get(name) != value:
            raise ResumeError(f"{name} is {value!r}; {folder.path} was begun with {known[name]!r}")
    if data is not None and data != config["data"]:
        raise ResumeError(f"DATA is {data!r}; {folder.path} was begun with {config['data']!r}")
    if options["out"] is not None:
        raise ParameterError("out", options["out"], "nothing, beside --resume")
    chosen = dict(config["recipe"])
    if chosen.get("init") and not Path(chosen["init"]).exists() and folder.checkpoint.exists():
        chosen["init"] = str(folder.checkpoint)  # which has taken everything from it
    return config["data"], config["reading"], chosen, folder, config


def _run(data, reading, recipe, folder, config, options, speaker):
    """Train, and return the result and whether the user broke it off."""
    from sparsecpu.datasets import open_data
    from sparsecpu.experiments.run_folder import Checkpoints, read_checkpoint
    from sparsecpu.kernels.machine.threads import use_threads
    from sparsecpu.layers import set_forms
    from sparsecpu.training.pattern_history import Tracker

    with use_threads(options["threads"]) as allowed:
        pass  # everything is checked before anything is written
    began = time.perf_counter()
    dataset = open_data(data, **reading)
    samples = dataset.x_train.shape[0]
    architecture = recipe.architecture(dataset.input_shape, dataset.n_outputs)
    _check_memory(architecture, recipe, samples, speaker)
    targets, facts = _targets(dataset)
    facts["data"], facts["recipe"] = data, recipe.to_dict()
    held = None
    if folder is not None and folder.checkpoint.exists():
        held = read_checkpoint(folder, architecture)
        network = held.network
    else:
        network = recipe.network(architecture, dataset.x_train, dataset.y_train, dataset.scaling)
    clock, stopper = StepClock(), Interruption()
    callbacks: list[Callback] = [clock, stopper, History()]
    if network.nnz <= _TRACKED:
        callbacks.insert(2, Tracker(options["spectrum"]))
    comm = options["comm"]
    if comm is not None:
        comm.check_same("training data", _fingerprint(dataset))
        comm.check_network(network.parameters().values())
    trainer = recipe.trainer(
        network, dataset.task, samples, threads=options["threads"], callbacks=callbacks, comm=comm
    )
    varied = recipe.varied(dataset.x_train, network, trainer)
    trainer.start(samples)
    forms = _forms(network, trainer, config, options["autotune"], speaker)
    begun = {"data": data, "reading": reading, "recipe": recipe.to_dict(), "forms": forms}
    folder = _folder(folder, config, begun, dataset, options["out"])
    writes = folder is not None and (comm is None or comm.rank == 0)
    if writes:
        keeper = Checkpoints(folder, architecture, facts)
        trainer.callbacks.append(keeper)
    if held is not None:
        held.give(trainer, samples)
        held = None
        if writes:
            folder.write_history(folder.read_history(trainer.epochs_done))
        set_forms(trainer.network, forms)
    if speaker.bar:
        trainer.callbacks.append(ProgressBar())
    with stopper.listening():
        trainer.fit(varied, targets)
    if trainer.halted and trainer.epochs_done < trainer.epochs:
        if writes:
            keeper.write(trainer)
        return {}, True
    if comm is not None and comm.rank:
        return {}, False
    batch = recipe.batch(samples)
    with trainer.machine():
        outcome = _finish(dataset, trainer.network, architecture, facts, folder, batch)
    outcome |= {"seconds": time.perf_counter() - began}
    outcome |= {"threads": trainer.team or allowed, "dense_threads": allowed}
    outcome["ranks"] = 1 if comm is None else comm.size
    return _result(outcome, dataset, recipe, trainer.network, clock, options, folder), False


def _forms(network, trainer, config, autotune, speaker) -> dict[str, str]:
    """Return the layers that are not in sparse form: as a resumed run had them, or chosen now."""
    from sparsecpu.layers import set_forms, tunable_layers

    if config is not None:
        set_forms(network, config.get("forms", {}))
    elif autotune:
        for choice in network.autotune(trainer.batch_size, threads=trainer.team):
            speaker.say(f"autotune: {choice}")
        if trainer.sharing is not None:  # every rank measures something else
            chosen = {name: layer.form for name, layer in tunable_layers(network)}
            set_forms(network, trainer.sharing.comm.broadcast(chosen))
    return {name: layer.form for name, layer in tunable_layers(network) if layer.form != "sparse"}


def _folder(folder, config, begun, dataset, out):
    """Return the run's folder (None without one), made where it is new, checked where not."""
    from sparsecpu.experiments.run_folder import RunFolder

    mark = _fingerprint(dataset)
    if folder is None and out is not None:
        folder = RunFolder(out)
        folder.create({**begun, "fingerprint": mark})
    elif folder is not None and config["fingerprint"] != mark:
        raise ResumeError(f"{begun['data']} is not the data that {folder.path} was begun with")
    return folder


def _finish(dataset, network, architecture, facts, folder, batch) -> dict[str, float]:
    """Score the network and keep it; return the score by name."""
    from sparsecpu.bench import versions
    from sparsecpu.experiments.scoring import score
    from sparsecpu.files.model import save

    # Batches of the trained size run the kernels that are compiled already.
    value = score(network, dataset.x_test, dataset.y_test, facts, batch_size=batch)
    key = "test_accuracy" if dataset.task == "classification" else "test_r2"
    if folder is not None:
        kept = {**facts, "metrics": {key: value}, "versions": versions()}
        save(network, folder.model, architecture, facts=kept)
    return {key: value}


def _result(outcome, dataset, recipe, network, clock, options, folder):
    """Return the document that ``--json`` prints."""
    from sparsecpu.bench import cpu_model, versions
    from sparsecpu.bench.rivals.numpy_mlp import dense_bytes
    from sparsecpu.kernels.machine.compile import compile_clock

    described = recipe.dense(dataset.input_shape, dataset.n_outputs)
    sizes = [network.widths[0], *(shape[0] for shape in described.weight_shapes())]
    dense, samples = None, dataset.x_train.shape[0]
    images = any(p.spatial for p in network.sparse_parameters().values())
    if options["dense"] is not None and not images and dense_bytes(sizes) <= _DENSE_LIMIT:
        dense = options["dense"].time(sizes, recipe.batch(samples))
    parameters = network.sparse_parameters()
    stored = sum(
        p.data.nbytes + p.pattern.indices.nbytes + p.pattern.indptr.nbytes
        for p in parameters.values()
    )
    return {
        **outcome,
        "data": dataset.name,
        "model": recipe.init or recipe.model,
        "topology": recipe.topology,
        "density": network.density,
        "nnz": network.nnz,
        "weights": network.size,
        "weight_bytes": stored,
        "dense_weight_bytes": 4 * sum(math.prod(s) for s in described.weight_shapes()),
        "iso_flop": _iso_flop(recipe, described, dataset, options["threads"]),
        "train_samples": samples,
        "test_samples": dataset.x_test.shape[0],
        "epochs": recipe.epochs,
        "batch_size": recipe.batch(samples),
        "seconds_per_epoch": clock.seconds_per_epoch(),
        "compile_seconds": compile_clock.seconds,
        "step_ms": clock.step_ms(),
        "dense_step_ms": dense["ms"] if dense else None,
        "layers": [
            {"name": name, "shape": list(p.shape), "nnz": p.nnz, "density": p.density}
            for name, p in parameters.items()
        ],
        "seed": recipe.seed,
        "out": str(folder.path) if folder else None,
        "cpu": cpu_model(),
        "versions": versions(),
    }


def _iso_flop(recipe, described, dataset, threads) -> list[dict[str, Any]] | None:
    """Return what the dense network and its transformation cost, where there is one."""
    if recipe.ift == "none":
        return None
    from sparsecpu.isoflop import compare_costs

    after = recipe.architecture(dataset.input_shape, dataset.n_outputs)
    batch = recipe.batch(dataset.x_train.shape[0])
    return compare_costs(described, after, batch_size=batch, threads=threads or 1)[0]


def _targets(dataset) -> tuple[Any, dict[str, Any]]:
    """Return targets as they are trained on, and what the model must remember of them."""
    if dataset.task == "classification":
        labels = [label.item() for label in dataset.classes]
        return dataset.y_train, {"task": "classification", "classes": labels}
    mean, scale = dataset.y_train.mean(axis=0), dataset.y_train.std(axis=0)
    scale[scale == 0] = 1.0
    facts = {"task": "regression", "target_mean": mean.tolist(), "target_scale": scale.tolist()}
    return (dataset.y_train - mean) / scale, facts


def _fingerprint(dataset) -> str:
    from sparsecpu.files.archive import fingerprint

    x = dataset.x_train
    if hasattr(x, "tocsr"):
        return fingerprint(x.data, x.indices, x.indptr, dataset.y_train)
    if hasattr(x, "take_samples"):
        import numpy as np

        x = x.take_samples(np.arange(min(64, x.shape[0])))[0]
    return fingerprint(x, dataset.y_train)


def _check_memory(architecture, recipe, samples: int, speaker) -> None:
    """Refuse a run that would not fit, and say what a large one needs."""
    from sparsecpu.bench.measuring.machine import memory_free
    from sparsecpu.networks.memory_estimate import estimate

    batch, watched = recipe.batch(samples), recipe.growth_memory
    need = estimate(
        architecture, batch, slots=recipe.slots, lean=recipe.lean,
        watched=watched if recipe.topology.startswith("sparse-momentum") else 0,
    )  # fmt: skip
    free = memory_free()
    if free is not None and need.total > free:
        advice = "lower density, batch_size or the sizes of the layers"
        raise MemoryBudgetError(
            f"the run would need about {need} and {free / 1e9:.1f} GB are free; "
            + (advice if recipe.lean else f"try --lean, or {advice}")
        )
    if need.total > _WORTH_SAYING:
        speaker.say(f"memory: about {need}" + (f"; {free / 1e9:.1f} are free" if free else ""))
