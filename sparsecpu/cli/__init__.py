"""The command line: one file per command, each imported when it is used."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from typing import Any

import click

from sparsecpu import __version__
from sparsecpu.errors import SparseCPUError

#: Commands, in the order of ``--help``; each is a module here with a function of that name.
COMMANDS = (
    "train", "evaluate", "predict", "inspect", "compare", "import", "export", "bench", "doctor",
)  # fmt: skip
#: Those whose module or function has another name.
_ELSEWHERE = {"import": "exchange:import_model", "export": "exchange:export_model"}


class _Group(click.Group):
    """Finds commands by name, and turns our errors into one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, function = _ELSEWHERE.get(name, f"{name}:{name}").partition(":")
        return getattr(importlib.import_module(f"sparsecpu.cli.{module}"), function)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = bool(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not typed:  # which shows the help
                raise
            _end(_advice(error), 2)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SparseCPUError, MemoryError) as error:
            _end(self._line(ctx, error), 2)
        except click.UsageError as error:
            _end(_advice(error), 2)
        except BrokenPipeError:  # the reader of our output is gone
            sys.stdout = None  # type: ignore[assignment]
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("sparsecpu: interrupted", err=True)
            sys.exit(130)

    def _line(self, ctx: click.Context, error: BaseException) -> str:
        """Return an error as one line, in which an argument is called as users type it."""
        text = " ".join(str(error).split()) or type(error).__name__
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        for parameter in command.params if command is not None else ():
            name = getattr(error, "name", None)
            if isinstance(parameter, click.Option) and parameter.name == name:
                return text.replace(name, parameter.opts[0], 1)
        return text


def _advice(error: click.UsageError) -> str:
    """Return what is wrong with a command line, and where to read about it."""
    where = error.ctx.command_path if error.ctx is not None else "sparsecpu"
    return f"{error.format_message().rstrip('.')}; see {where} -h"


def _end(message: str, code: int) -> None:
    """Say why it cannot go on, and end; where ranks share the job, end all of them.

    Where several ranks meet the same error rank 0 alone says so: the others give it time to.
    """
    from sparsecpu.training.mpi import AFTER_RANK_0, launched, launched_rank, world

    rank, ours = launched_rank(), None
    if launched():
        with contextlib.suppress(SparseCPUError):  # without mpi4py each rank ends by itself
            ours = world()
            rank = ours.rank
    if rank:
        time.sleep(AFTER_RANK_0)
        message = f"rank {rank}: {message}"
    click.echo(f"sparsecpu: {message}", err=True)
    if ours is not None:
        ours.abort(code)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sparsecpu")
def main() -> None:
    """Train always-sparse neural networks on an ordinary CPU.

    \b
    sparsecpu train digits --out run
    sparsecpu evaluate run digits
    sparsecpu inspect run
    """  # noqa: D301
