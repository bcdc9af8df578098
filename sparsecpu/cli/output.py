"""What commands print: messages on stderr, documents on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sparsecpu.errors import DataWarning, DivergenceWarning
from sparsecpu.files.documents import finite
from sparsecpu.reading.live_line import Line, Silence, line_on
from sparsecpu.reading.progress import voice

#: The line on which a command shows progress, if it has one.
_lines: list[Line] = []
#: Our own warnings.
_OURS = (DataWarning, DivergenceWarning)


class Speaker:
    """Messages on stderr; of warnings alone, if the user wants no others.

    ``line`` shows progress there; messages stand above it.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.line: Line = Silence(sys.stderr) if quiet else line_on(sys.stderr)
        voice.say = self.say
        _lines[:] = [self.line]

    def say(self, message: str) -> None:
        """Print a line."""
        if not self.quiet:
            self.warn(message)

    def warn(self, message: str) -> None:
        """Print a line, whatever the user wants."""
        for line in _lines:
            line.clear()
        with contextlib.suppress(OSError):  # a message is no reason to end a run
            click.echo(_between_words(message), err=True)
        for line in _lines:
            line.again()

    def note(self, message: str) -> None:
        """Print a line on something that the user should know, whatever he wants."""
        self.warn(f"note: {message}")

    @contextlib.contextmanager
    def saying_warnings(self) -> Iterator[None]:
        """Say our own warnings inside the ``with`` block in a line each."""
        with warnings.catch_warnings():
            for kind in _OURS:
                warnings.simplefilter("always", kind)
            usual = warnings.showwarning

            def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
                from sparsecpu.training.mpi import launched_rank

                if issubclass(category, DataWarning):
                    if not launched_rank():  # else rank 0 says it
                        self.note(f"{message}")
                elif issubclass(category, DivergenceWarning):
                    self.warn(f"warning: {message}")
                else:
                    self.line.clear()
                    usual(message, category, *where, **more)

            warnings.showwarning = show
            yield

    def announce_compilation(self) -> None:
        """Say when the first kernel has to be compiled, and show which one is at work."""
        from sparsecpu.callbacks.compiling import CompilingShown
        from sparsecpu.kernels.machine.compile import Compiling, compile_clock

        said: list[str] = []
        shown = CompilingShown(self.line)

        def listen(compiling: Compiling) -> None:
            if compiling.of == 0:
                return
            if not said:
                said.append("compiling kernels, once on this machine …")
                if compiling.of is not None and compiling.seconds is not None:
                    told = f"{compiling.of} kernels, about {max(compiling.seconds, 1):.0f} s"
                    said[0] = f"first run of this kind: compiling {told}, once on this machine …"
                self.say(said[0])
            shown.listen(compiling)

        compile_clock.listeners[:] = [listen]  # not those of commands that have ended


def _between_words(message: str) -> str:
    """Return a message as it is, or in a terminal too narrow for it broken between words."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # a file, a pipe, or closed
        return message
    if not columns:
        return message
    fill = textwrap.TextWrapper(
        columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ).fill
    lines = message.split("\n")
    return "\n".join(fill(line) if len(line) > columns else line for line in lines)


def beside(run: str, ending: str) -> Path:
    """Return the file about a run or comparison where nobody names one: ``RUN-ending`` beside it.

    ``run`` is the folder, or a file in it.
    """
    path = Path(run)
    path = path if path.is_dir() else path.parent
    path = path if path.name not in ("", "..") else path.resolve()
    return path.with_name(f"{path.name}-{ending}")


def wipe() -> None:
    """Take away what a command shows of its progress: something else is to stand there."""
    for line in _lines:
        line.drop()


def in_place(path: Any) -> str:
    """Return what is said behind the name of a file that will be written, if there is one."""
    return ", in place of the one that was there" if Path(path).exists() else ""


def put(text: str, *, ends: bool = True) -> None:
    """Print what a command was asked for, as a line unless it goes on.

    An error says that it was the standard output's.
    """
    wipe()
    try:
        click.echo(text, nl=ends)
    except OSError as error:
        error.filename = "standard output"
        raise


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document of plain values; NaN and infinity become null."""
    put(json.dumps(finite(document), indent=2, default=str, allow_nan=False))
