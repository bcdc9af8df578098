"""The command line: one file per command, each imported when it is used."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from sparsecpu import __version__
from sparsecpu.cli.grouped_help import Group, innermost
from sparsecpu.cli.names import usage_line
from sparsecpu.errors import SparseCPUError
from sparsecpu.registries.names import find_name

#: Commands, in the order of ``--help``; each is a module here with a function of that name.
COMMANDS = (
    "train", "evaluate", "predict", "generate", "inspect", "plot", "report", "compare", "import",
    "export", "bench", "list", "doctor",
)  # fmt: skip
#: Those whose module or function has another name.
_ELSEWHERE = {
    "import": "exchange:import_model",
    "export": "exchange:export_model",
    "list": "lists:list_names",
}


#: Exit code where whatever read the output needs no more of it, as ``head`` does after some lines:
#: that of SIGPIPE, as shells count, which ends other programs then.
READER_ENDED = 128 + 13
#: How many new objects Python waits for before it searches for garbage, by generation.
_SELDOM = 50_000, 20, 20


def _home_of(name: str) -> tuple[str, str]:
    """Return the module of a command here, and the name of its function."""
    module, _, function = _ELSEWHERE.get(name, f"{name}:{name}").partition(":")
    return module, function


@contextlib.contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Let Python search for garbage seldom: imports make a million objects, and all of them stay.

    Nor need it search them all when the process ends.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Passing(Exception):
    """An error on its way through click, which would end the process by itself."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


@contextlib.contextmanager
def _past_click() -> Iterator[None]:
    """Bring what the system or the user breaks off to ``_Group.main``."""
    try:
        yield
    except (OSError, KeyboardInterrupt) as error:
        raise _Passing(error) from error


class _Group(Group):
    """Finds commands by name, and turns our errors into one line and exit code 2."""

    _context: click.Context | None = None
    #: The command that was asked for, as far as the words were read.
    _asked: str | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def load_command(self, ctx: click.Context, name: str) -> click.Command | None:
        module, function = _home_of(name)
        return getattr(importlib.import_module(f"sparsecpu.cli.{module}"), function)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; to import them all would take most of a second."""
        from sparsecpu.cli.sentences import sentence_of

        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence_of(*_home_of(name))) for name in COMMANDS])

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _past_click():
            return super().make_context(*args, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse empty words, as of ``--out "$OUT"``: each would stand for something else."""
        self._asked = next(filter(None, (find_name(word, COMMANDS) for word in args)), None)
        for before, word in zip(["a word", *args], args, strict=False):
            if not word or (word.startswith("--") and word.endswith("=")):
                name = word.rstrip("=") or before
                raise click.UsageError(f"the word behind {name} is empty; expected a value")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        from sparsecpu.cli.output import Speaker

        self._context = ctx
        with _past_click(), Speaker(quiet=False).saying_warnings():
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command to its exit code; here, and nowhere else, errors become lines."""
        self._context = self._asked = None
        try:
            code = self._run(*args, **options)
        except _Passing as passing:
            self._fail(passing.error)
        except (Exception, KeyboardInterrupt) as error:
            self._fail(error)
        sys.exit(code if isinstance(code, int) else 0)

    def _run(self, *args: Any, **options: Any) -> Any:
        from sparsecpu.cli.failures import flush_output, open_standard_streams
        from sparsecpu.cli.signals import raised

        # Numba's word about systems without shared memory, which need not concern anyone.
        warnings.filterwarnings("ignore", "Could not obtain multiprocessing lock")
        closed = sys.stdout is None
        open_standard_streams()
        if closed:
            raise SparseCPUError("the standard output is closed; to see nothing, use > /dev/null")
        with _seldom_collecting(), raised(), _past_click():
            code = super().main(*args, **{**options, "standalone_mode": False})
            flush_output()
        return code

    def _fail(self, error: BaseException) -> NoReturn:
        """Say in a line why the command has ended, and end; a mistake of ours stays as it is."""
        from sparsecpu.cli.output import wipe

        wipe()
        if isinstance(error, click.UsageError):
            if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2's: its message is the help
                error.show()
                sys.exit(2)
            where = error.ctx.command_path if error.ctx is not None else self._place()
            line = usage_line(error)
            _end(line if line.endswith("?") else f"{line}; see {where} -h", 2)
        if isinstance(error, KeyboardInterrupt):
            from sparsecpu.cli.signals import code_of

            _say("; ".join(["sparsecpu: interrupted", *getattr(error, "__notes__", ())]))
            sys.exit(code_of(error))
        if isinstance(error, BrokenPipeError) and error.filename in (None, "standard output"):
            _end(None, READER_ENDED)
        if isinstance(error, (SparseCPUError, OSError, MemoryError, UnicodeError)):
            _end(self._line(error), 2)
        raise error

    def _place(self) -> str:
        """Return the command that was asked for, where click does not say which one it was."""
        return "sparsecpu" if self._asked is None else f"sparsecpu {self._asked}"

    def _line(self, error: BaseException) -> str:
        """Return an error as one line, in which an argument is called as users type it."""
        from sparsecpu.cli.failures import line_of

        text, name = line_of(error), getattr(error, "name", None)
        command = innermost(self._context)
        flag = f"--{str(name).replace('_', '-')}"
        for parameter in command.params if command is not None else ():
            known = parameter.name == name or flag in parameter.opts
            if isinstance(parameter, click.Option) and known:
                return text.replace(str(name), parameter.opts[0], 1)
        return text


def _say(message: str) -> None:
    """Print a message, where it can be."""
    from sparsecpu.cli.failures import flush_output, silence_output

    with contextlib.suppress(OSError):
        click.echo(message, err=True)
    try:
        flush_output()
    except (OSError, ValueError):
        silence_output()


def _end(message: str | None, code: int) -> NoReturn:
    """Say why it cannot go on, or None, and end; where ranks share the job, end all of them.

    Where several ranks meet the same error rank 0 alone says so: the others give it time to.
    """
    from sparsecpu.cli.failures import silence_output

    try:
        from sparsecpu.training.mpi import AFTER_RANK_0, launched, launched_rank, world
    except SparseCPUError:  # what Numba was told: no rank gets as far as to wait for another
        _say(f"sparsecpu: {message}")
        sys.exit(code)

    rank, ours = launched_rank(), None
    if launched():
        with contextlib.suppress(SparseCPUError):  # without mpi4py each rank ends by itself
            ours = world()
            rank = ours.rank
    if rank:
        time.sleep(AFTER_RANK_0)
    if message is None:
        silence_output()
    else:
        _say(f"sparsecpu: rank {rank}: {message}" if rank else f"sparsecpu: {message}")
    if ours is not None:
        ours.abort(code)
    sys.exit(code)


@click.group(
    cls=_Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # --Batch_Size is --batch-size; -V is not -v
        "token_normalize_func": lambda w: w.lower().replace("_", "-") if len(w) > 1 else w,
    },
)
@click.version_option(__version__, prog_name="sparsecpu")
def main() -> None:
    """Train always-sparse neural networks on an ordinary CPU.

    \b
    sparsecpu train digits --out run
    sparsecpu evaluate run digits
    sparsecpu inspect run
    """  # noqa: D301
