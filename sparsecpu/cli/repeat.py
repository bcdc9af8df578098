"""The command that does a run or a comparison again, from what its folder says."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

import click

from sparsecpu.datasets.text import is_text
from sparsecpu.experiments.language import OF_TEXT, STEPS_OF_TEXT
from sparsecpu.experiments.neurons import options_of_neurons

#: What options are called where a comparison's plan calls them otherwise.
_LISTS = ("methods", "densities", "learning_rates", "groups")


def train_command(config: dict[str, Any], ranks: int = 1) -> str:
    """Return the words of ``sparsecpu train`` that do a run again, for a shell.

    ``config`` is that of the run's folder; options that are at their defaults are left out.
    """
    from sparsecpu.cli.train import train

    recipe, data = config["recipe"], config["data"]
    known = {**config, **config["reading"], **recipe, "autotune": bool(config.get("forms"))}
    known["data"] = None
    usual = _usual(train.params, data)
    if recipe["neurons"] is not None:
        usual |= options_of_neurons(recipe["neurons"])
    if is_text(data):  # epochs said, though they be as many as usual, are in place of steps
        usual["epochs"] = None if recipe["steps"] is None else recipe["epochs"]
    words = _words(train.params, known, usual)
    start = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    return shlex.join([*start, "sparsecpu", "train", *_behind(data, words)])


def compare_command(plan: dict[str, Any], out: str | None = None) -> str:
    """Return the words of ``sparsecpu compare`` that do a comparison again, for a shell."""
    from sparsecpu.cli.compare import compare

    known = {**plan["reading"], **plan["recipe"]}
    known |= {name: ",".join(_text(value) for value in plan[name]) for name in _LISTS}
    known |= {"seeds": plan["seeds"], "folds": plan["folds"], "out": out, "data": None}
    usual = _usual(compare.params, plan["data"])
    if is_text(plan["data"]):
        usual["epochs"] = None if plan["recipe"]["steps"] is None else plan["recipe"]["epochs"]
    words = _words(compare.params, known, usual)
    return shlex.join(["sparsecpu", "compare", *_behind(plan["data"], words)])


def _behind(data: str, words: list[str]) -> list[str]:
    """Put data before the options, unless its name looks like one."""
    return [*words, "--", data] if data.startswith("-") else [data, *words]


def _usual(parameters: Iterable[click.Parameter], data: str) -> dict[str, Any]:
    """Return what options are where nobody says them, on this data."""
    context = click.Context(click.Command("none"))
    usual = {p.name: p.get_default(context) for p in parameters if p.name is not None}
    # Newer versions of click have a sign of their own for no default.
    usual = {n: None if type(v).__name__ == "Sentinel" else v for n, v in usual.items()}
    if is_text(data):
        usual |= {"steps": STEPS_OF_TEXT, **OF_TEXT}
    return usual


def _words(
    parameters: Iterable[click.Parameter], known: dict[str, Any], usual: dict[str, Any]
) -> list[str]:
    """Return the options whose values are not the usual ones."""
    words: list[str] = []
    for option in parameters:
        value, default = known.get(option.name or ""), usual.get(option.name or "")
        if not isinstance(option, click.Option) or option.name not in known or value == default:
            continue
        if option.is_flag or isinstance(value, bool):
            words += [option.opts[0]] if value else option.secondary_opts[:1]
        elif option.multiple:
            words += [word for one in value or () for word in (option.opts[0], _text(one))]
        elif value is not None:
            words += [option.opts[0], _text(value)]
    return words


def _text(value: Any) -> str:
    """Return a value as it is typed; a number with all its digits."""
    return repr(value) if isinstance(value, float) else str(value)
