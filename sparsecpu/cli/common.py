"""What the commands share: options, messages, and reading models."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sparsecpu.errors import FileFormatError


def data_options(command: Callable) -> Callable:
    """Add the options that say how to read data.

    Parameters
    ----------
    command : callable
        A click command's function.

    Returns
    -------
    callable
        The same.
    """
    for option in (
        click.option("--samples", type=int, help="Samples to generate, for generated data."),
        click.option("--target", help="Column to predict, in a CSV.  [default: the last]"),
        click.option(
            "--task",
            type=click.Choice(["auto", "classification", "regression"]),
            default="auto",
            help="What is to be learnt, where a file leaves it open.",
        ),
    ):
        command = option(command)
    return command


def output_options(command: Callable) -> Callable:
    """Add ``--threads``, ``--json`` and ``--quiet``.

    Parameters
    ----------
    command : callable
        A click command's function.

    Returns
    -------
    callable
        The same.
    """
    for option in (
        click.option("--threads", type=int, help="Threads.  [default: all that are worth it]"),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
        click.option("--quiet", is_flag=True, help="No progress and no messages."),
    ):
        command = option(command)
    return command


class Speaker:
    """Messages on stderr, unless the user wants none.

    Parameters
    ----------
    quiet : bool
        Whether to say nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar = not quiet and sys.stderr.isatty()

    def say(self, message: str) -> None:
        """Print a line on stderr.

        Parameters
        ----------
        message : str
            The line.
        """
        if not self.quiet:
            click.echo(message, err=True)

    def announce_compilation(self) -> None:
        """Say so when the first kernel has to be compiled."""
        from sparsecpu.kernels.machine.compile import compile_clock

        compile_clock.on_first = lambda: self.say("compiling kernels (kept for the next run) …")


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout; NaN and infinity become null.

    Parameters
    ----------
    document : dict
        Plain values.
    """
    click.echo(json.dumps(_finite(document), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def model_path(path: str) -> Path:
    """Return the model file of a run folder, or the file itself.

    Parameters
    ----------
    path : str
        A folder that ``train --out`` wrote, or a model file.

    Returns
    -------
    Path
        ``model.npz``; ``checkpoint.npz`` where the run has not ended.

    Raises
    ------
    FileFormatError
        If there is neither.
    """
    given = Path(path)
    if not given.is_dir():
        return given
    for name in ("model.npz", "checkpoint.npz"):
        if (given / name).is_file():
            return given / name
    raise FileFormatError(f"{given} holds no model.npz and no checkpoint.npz")


def read_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read a model that ``train`` wrote, with what the commands need to know of it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    network : Sequential
        The network.
    facts : dict
        ``task``, and ``classes`` or ``target_mean`` and ``target_scale``.

    Raises
    ------
    FileFormatError
        If the file does not say these, as one that was saved from Python need not.
    """
    from sparsecpu.files.model import load

    network, facts = load(path)
    needed = {"classification": ["classes"], "regression": ["target_mean", "target_scale"]}
    task = facts.get("task") if isinstance(facts, dict) else None
    if not isinstance(task, str) or task not in needed:
        raise FileFormatError(f"{path} does not say its task; expected a model that train wrote")
    for name in needed[task]:
        found = facts.get(name)
        if not isinstance(found, list) or len(found) != network.n_outputs:
            raise FileFormatError(f"{path}: {name} must have {network.n_outputs} entries")
    return network, facts


def timed(function: Callable, *args: Any) -> tuple[Any, float]:
    """Call a function and return its result and the seconds that it took.

    Parameters
    ----------
    function : callable
        What to call.
    *args : object
        With what.

    Returns
    -------
    result : object
        What it returned.
    seconds : float
        Wall-clock.
    """
    start = time.perf_counter()
    return function(*args), time.perf_counter() - start
