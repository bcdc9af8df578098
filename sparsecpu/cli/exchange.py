"""``sparsecpu import`` and ``sparsecpu export``."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.grouped_help import command, option
from sparsecpu.cli.import_table import import_table
from sparsecpu.cli.names import Choice
from sparsecpu.cli.options import json_option, numbers
from sparsecpu.cli.output import in_place, print_json, put
from sparsecpu.cli.recipe_options import recipe_options
from sparsecpu.cli.unused_options import is_said, refuse_without_model
from sparsecpu.datasets.base import TASKS
from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.experiments.options import either
from sparsecpu.registries import defaults
from sparsecpu.registries.names import find_name
from sparsecpu.sparse.densities import DISTRIBUTIONS

_ENDINGS = {"torch": ".pt", "safetensors": ".safetensors", "scipy": ""}


@command("import")
@click.argument("file")
@option(
    "--model",
    help="The network: a named one as sparsecpu train knows them, or sizes of hidden layers such "
    "as 300,100.  [default: as FILE says, if it does]",
    group="network",
)
@recipe_options("width")
@option(
    "--input-shape",
    help="Shape of a sample, such as 3,32,32.  [default: the model's own]",
    group="network",
)
@option(
    "--outputs", type=int, help="Size of the last layer.  [default: as in FILE]", group="network"
)
@option("--out", default="model.npz", show_default=True, help="The model file to write.")
@option(
    "--density",
    type=float,
    help="Keep only this fraction of the weights, the largest.  [default: all but zeros]",
    group="sparsity",
)
@option(
    "--distribution",
    default="global",
    show_default=True,
    help="How --density is divided: by one threshold over all layers (global), or by "
    f"{either(DISTRIBUTIONS)}.",
    group="sparsity",
)
@option(
    "--group",
    help="How many neighbouring outputs of a layer keep weights at the same inputs, those with the "
    "largest means; as in sparsecpu train.  [default: as FILE says, if it does]",
    group="sparsity",
)
@option(
    "--map",
    "pairs",
    multiple=True,
    metavar="OURS=THEIRS",
    help="Which layer of FILE becomes which of ours, such as 0=features.0; may be given more than "
    "once.",
    group="network",
)
@option(
    "--new-head",
    is_flag=True,
    help="Draw layers at random for which FILE has no tensor.",
    group="network",
)
@option(
    "--mean",
    help="Mean of each channel or feature of the inputs, such as .49,.48,.45, or one for all.",
    group="data",
)
@option("--std", help="Standard deviation of each, or one for all.", group="data")
@option(
    "--task",
    type=Choice(TASKS),
    default="classification",
    show_default=True,
    help="What the network was trained for, if FILE does not say.",
    group="data",
)
@recipe_options("seed")
@json_option
@click.pass_context
def import_model(ctx: click.Context, file: str, **options: Any) -> None:
    """Make a sparse model of FILE, and say which tensor went where.

    FILE is a PyTorch state dict (only plain tensors are loaded, nothing in it is run), a
    .safetensors or .npz file, one of our models, or a folder of SciPy matrices. Zeros and masks
    become the pattern.

    \b
    sparsecpu import resnet.pt --model resnet-18 --density 0.05 --out model.npz
    sparsecpu train make:shapes --init model.npz --topology static
    """  # noqa: D301
    import numpy as np

    from sparsecpu.files.model import save
    from sparsecpu.interop import import_network, open_tensors

    refuse_without_model(ctx)
    tensors, known = open_tensors(file)
    architecture = known.get("architecture")
    if options["model"] is not None:
        architecture = _described(options, tensors)
    if architecture is None:
        expected = f"the name of a network, for {file} does not describe one"
        raise ParameterError("model", None, expected)
    architecture, group = _in_groups(options, architecture)
    network, report = import_network(
        {**tensors},
        architecture,
        density=options["density"],
        distribution=options["distribution"],
        names=_pairs(options["pairs"]),
        missing="draw" if options["new_head"] else "raise",
        rng=np.random.default_rng(options["seed"]),
        group=group,
    )
    if options["mean"] is not None or options["std"] is not None:
        network.offset = _per_feature("mean", options["mean"], 0.0, network)
        network.scale = 1 / _per_feature("std", options["std"], 1.0, network)
    facts, outputs = known.get("facts") or {}, network.n_outputs
    if is_said(ctx, "task") and options["task"] != facts.get("task", options["task"]):
        raise ParameterError("task", options["task"], f"{facts['task']}, as {file} says")
    per_output = (facts.get("classes"), facts.get("target_mean"))
    if outputs not in [len(labels) for labels in per_output if isinstance(labels, list)]:
        facts = _facts(options["task"], outputs)  # none, or of a network with another head
    _check_folder(options["out"])
    replaces = in_place(options["out"])
    save(network, options["out"], facts=facts)
    if options["as_json"]:
        names = ("layer", "from", "shape", "nnz")
        matched = [dict(zip(names, row, strict=True)) for row in report.matched]
        document = {"matched": matched, "missing": report.missing, "folded": report.folded}
        groups = {name: p.pattern.group for name, p in network.sparse_parameters().items()}
        document |= {"groups": groups}
        document |= {
            "unused": report.unused,
            "thin": report.thin,
            "nnz": network.nnz,
            "density": network.density,
        }
        return print_json({**document, "out": options["out"]})
    put(import_table(report))
    sizes = sorted({p.pattern.group for p in network.sparse_parameters().values()} - {1})
    where = f", in groups of {' and '.join(map(str, sizes))}" if sizes else ""
    put(
        f"{network.nnz:,} weights, density {network.density:.4f}{where}: {options['out']}{replaces}"
    )
    return None


def _in_groups(options: dict[str, Any], architecture: Any) -> tuple[Any, int]:
    """Return the description in the groups that the user asks for each layer, or one for all."""
    from sparsecpu.cli.group_table import group_table
    from sparsecpu.cli.output import Speaker
    from sparsecpu.networks.group_choice import choose_groups
    from sparsecpu.networks.groups import AUTO, in_groups, read_group

    text, density = options["group"], options["density"]
    if text is None:
        return architecture, 1
    group: Any = read_group(text)
    if group == AUTO:
        if density is None:
            raise ParameterError("group", AUTO, "a size, or a --density to time layers at")
        # One threshold for all layers gives each a number of weights that is not known yet.
        rule = find_name(options["distribution"], DISTRIBUTIONS) or "uniform"
        batch = defaults.TRAINER.batch_size
        choices = choose_groups(architecture.sparsify(density, rule), batch)
        group = [choice.takes for choice in choices]
        Speaker(options["as_json"]).say(group_table(choices, batch))
    if isinstance(group, int) and group > 1:
        return architecture, group
    return in_groups(architecture, group), 1


def _described(options: dict[str, Any], tensors: Any) -> Any:
    """Return the network that the user names, in the sizes of the file."""
    from sparsecpu.experiments.networks import describe_dense
    from sparsecpu.experiments.recipe import Recipe
    from sparsecpu.files.interop.gpt2 import as_ours
    from sparsecpu.networks.models import find_model

    matrices = [t.shape for t in as_ours(tensors).values() if len(t.shape) > 1]
    if not matrices:
        raise FileFormatError("the file has no weights")
    shape = numbers("input_shape", options["input_shape"], int)
    if shape is None:
        named = find_model(options["model"])
        shape = (math.prod(matrices[0][1:]),)
        if named is not None:
            shape = inspect.signature(named).parameters["input_shape"].default
    outputs = matrices[-1][0] if options["outputs"] is None else options["outputs"]
    for name, sizes in (("input_shape", shape), ("outputs", (outputs,))):
        if min(sizes) < 1:
            raise ParameterError(name, sizes, "integers of at least 1")
    model = _with_stem(options["model"], matrices[0])
    return describe_dense(Recipe(model=model, width=options["width"]), shape, outputs)


def _with_stem(model: str, first: tuple[int, ...]) -> str:
    """Return the name of a network with the size of the first filters in a file, if it has one.

    ResNets for ImageNet begin with larger filters than those for small images; all else is the
    same.
    """
    from sparsecpu.networks.models import find_model

    named = find_model(model)
    takes = named is not None and "stem_size" in inspect.signature(named).parameters
    if not takes or "stem_size" in model or len(first) != 4 or first[-1] not in (3, 7):
        return model
    return f"{model}{',' if ':' in model else ':'}stem_size={first[-1]}"


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        ours, equals, theirs = text.partition("=")
        if not equals:
            raise ParameterError("map", text, "OURS=THEIRS, such as 0=features.0")
        pairs[ours.strip()] = theirs.strip()
    return pairs


def _per_feature(name: str, text: str | None, default: float, network: Any) -> Any:
    """Return a number per feature, from one for all or one per channel."""
    import numpy as np

    given = np.array(numbers(name, text) or (default,), dtype=network.dtype)
    shape = network.input_shape
    if len(given) not in (1, shape[0]) or not np.isfinite(given).all():
        raise ParameterError(name, text, f"1 or {shape[0]} numbers")
    if name == "std" and not (given > 0).all():
        raise ParameterError(name, text, "numbers above 0")
    spread = given.reshape((-1, *(1 for _ in shape[1:])))
    return np.ascontiguousarray(np.broadcast_to(spread, shape)).reshape(-1)


def _facts(task: str, outputs: int) -> dict[str, Any]:
    if task == "classification":
        return {"task": task, "classes": list(range(outputs))}
    return {"task": task, "target_mean": [0.0] * outputs, "target_scale": [1.0] * outputs}


def _check_folder(path: str) -> None:
    if not Path(path).absolute().parent.is_dir():
        raise FileFormatError(f"{path}: there is no folder {Path(path).absolute().parent}")


@command("export")
@click.argument("model")
@click.option("--to", type=Choice(_ENDINGS), required=True, help="The library that is to read it.")
@click.option("--out", help="File, or folder of SciPy matrices.  [default: beside MODEL]")
@json_option
def export_model(model: str, to: str, out: str | None, as_json: bool) -> None:
    """Write MODEL for PyTorch, safetensors or SciPy.

    MODEL is a file, or the folder of a run.

    torch: a state dict by torch.save (the torch extra); safetensors: the same tensors and our
    description of the network; scipy: a folder with one sparse matrix per layer.
    """
    from sparsecpu.files.model import load
    from sparsecpu.files.places import model_path
    from sparsecpu.interop import export_network

    path = model_path(model)
    network, facts = load(path)
    out = str(path.with_suffix(_ENDINGS[to])) if out is None else out
    if to == "scipy" and Path(out).is_file():
        raise FileFormatError(f"{out} is a file; expected a folder, or the name of a new one")
    _check_folder(out)
    replaces = in_place(out)
    export_network(network, out, to, facts=facts)
    document = {"model": str(path), "to": to, "out": out, "nnz": network.nnz}
    print_json(document) if as_json else put(f"{path} -> {out}{replaces}")
