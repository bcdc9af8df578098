"""A recipe's fields as options, with the types, defaults and help texts that the fields have."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args, get_type_hints

import click
from click.core import ParameterSource

from sparsecpu.cli.grouped_help import option
from sparsecpu.cli.options import Decorator, decorated
from sparsecpu.datasets.text import is_text
from sparsecpu.errors import ConflictError
from sparsecpu.experiments.language import OF_TEXT, STEPS_OF_TEXT
from sparsecpu.experiments.recipe import Recipe, options


def recipe_options(*names: str) -> Decorator:
    """Add these fields of a recipe as options, in this order."""
    return decorated(_recipe_option(name) for name in names)


def _recipe_option(name: str) -> Decorator:
    known, default = options()[name], getattr(Recipe, name)
    flag, shown = "--" + name.replace("_", "-"), known.unset
    place: dict[str, Any] = {"group": known.group, "rare": known.rare}
    if isinstance(default, bool):
        return option(flag, is_flag=True, default=default, help=known.help, **place)
    if isinstance(default, float):
        shown = f"{default:.12g}"
    elif default not in (None, ""):
        shown = str(default)
    text = f"{known.help}  [default: {shown}]" if shown else known.help
    return option(flag, type=_type_of(name), default=default, help=text, **place)


def _type_of(name: str) -> Any:
    hint = get_type_hints(Recipe)[name]
    return next(kind for kind in get_args(hint) or (hint,) if kind is not NoneType)


def recipe_values(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are a recipe's, with names as they are registered."""
    return {n: known.read(n, given[n]) for n, known in options().items() if n in given}


def usual_values(ctx: click.Context, data: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are a recipe's, for text with the defaults that runs on it have.

    Refuses a number of steps beside one of epochs, if the user has said both.
    """
    chosen = recipe_values(given)
    epochs = "epochs" not in unsaid(ctx, chosen)
    if is_text(data):
        chosen |= {n: value for n, value in unsaid(ctx, OF_TEXT).items() if n in chosen}
        if chosen["steps"] is None and not epochs:
            chosen["steps"] = STEPS_OF_TEXT
    if chosen["steps"] is not None and epochs:
        reason = "which says how long the run is, too; leave out one of them"
        raise ConflictError("steps", "--epochs", reason)
    return chosen


def unsaid(ctx: click.Context, usual: dict[str, Any]) -> dict[str, Any]:
    """Return those of other defaults whose options the user has left as they are."""
    default = ParameterSource.DEFAULT
    return {n: value for n, value in usual.items() if ctx.get_parameter_source(n) is default}
