"""Options that would do nothing beside the others: refused, as nobody gives one for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any

import click
from click.core import ParameterSource

from sparsecpu.errors import ConflictError
from sparsecpu.topology import TOPOLOGIES

#: What --init and --neurons stand in place of.
_OF_INIT = ("model", "width", "density", "sparsity", "distribution", "ift", "pattern", "neurons")
_OF_NEURONS = ("model", "width", "density", "sparsity", "distribution", "ift")
#: Options of a topology that have names of their own.
_OF_TOPOLOGY = ("update_every", "prune_rate", "growth_memory")
#: What only networks with weights to choose have.
_OF_SPARSE = ("densities", "groups", "distribution", "pattern", "update_every")


def is_said(ctx: click.Context, name: str) -> bool:
    """Return True if the user has given an option."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse(ctx: click.Context, names: Iterable[str], other: str, reason: str) -> None:
    """Raise ``ConflictError`` for the first of some options that the user has given."""
    for name in names:
        if is_said(ctx, name):
            raise ConflictError(name, other, reason)


def density_of(ctx: click.Context, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the density that ``--sparsity`` means where no ``--ift`` takes it for itself."""
    if chosen["ift"] != "none" or not is_said(ctx, "sparsity"):
        return {}
    refuse(ctx, ["density"], "--sparsity", "which says the same; leave out one of them")
    return {"density": round(1 - chosen["sparsity"], 12)}


def refuse_unused(ctx: click.Context, chosen: dict[str, Any]) -> None:
    """Refuse an option of ``train`` that the network or topology of the others does not have."""
    from sparsecpu.files.model import load
    from sparsecpu.files.places import model_path

    if chosen["init"]:
        refuse(ctx, _OF_INIT, "--init", "whose network has its own")
        if is_said(ctx, "scaling") and load(model_path(chosen["init"]))[0].offset.size:
            refuse(ctx, ["scaling"], "--init", "whose network scales its inputs as it was trained")
    else:
        refuse(ctx, ["new_head"], "a new network", "all of whose layers are drawn")
    if chosen["neurons"] is not None:
        refuse(ctx, _OF_NEURONS, "--neurons", "which says what the network is; see --per-neuron")
    else:
        refuse(ctx, ["per_neuron"], "--model", "whose weights --density counts; see --neurons")
    if chosen["ift"] != "none":
        reason = "whose networks have --sparsity, the same in each layer"
        refuse(ctx, ["density", "distribution"], "--ift", reason)
    refuse_for_topologies(ctx, [chosen["topology"]])


def refuse_for_topologies(ctx: click.Context, rules: Iterable[str]) -> None:
    """Refuse an option that none of these topologies has; each may have options behind a colon."""
    names = [rule.partition(":")[0] for rule in rules]
    taken = {name for rule in names for name in signature(TOPOLOGIES.find(rule)).parameters}
    words = " or ".join(dict.fromkeys(names))
    for name in _OF_TOPOLOGY:
        if name in ctx.params and name not in taken:
            reason = "which never updates" if not taken else "which has no such option"
            refuse(ctx, [name], f"topology {words}", reason)


def refuse_for_methods(ctx: click.Context, methods: Iterable[str]) -> None:
    """Refuse an option of ``compare`` that none of its methods has."""
    sparse = [method for method in methods if method != "dense"]
    if not sparse:
        refuse(ctx, _OF_SPARSE, "methods dense", "whose networks have all their weights")
    if sparse and all(method.partition(":")[0] in TOPOLOGIES for method in sparse):
        refuse_for_topologies(ctx, sparse)


def refuse_for_data(ctx: click.Context, data: str, task: str) -> None:
    """Refuse an option that is for another task than that of some data."""
    if task == "regression":
        refuse(ctx, ["label_smoothing"], data, "which is for regression and has no classes")


def refuse_without_model(ctx: click.Context) -> None:
    """Refuse an option of ``import`` that is about what another one would have said."""
    if not is_said(ctx, "model"):
        reason = "of which FILE says all; give --model, too"
        refuse(ctx, ["width", "input_shape", "outputs"], "the network of FILE", reason)
    if not is_said(ctx, "density"):
        reason = "where they are in FILE; give --density, too"
        refuse(ctx, ["distribution"], "all weights", reason)
