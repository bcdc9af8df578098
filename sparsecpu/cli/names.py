"""Names on the command line: of choices, of data, of options and of commands."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import click

from sparsecpu.registries.names import expected_name, find_name, suggested

#: What click says of numbers, and how we say it.
_NOT = re.compile(r"(.+) is not (?:a valid (integer|float)(?: range)?|in the range (.+))")
_KINDS = {"integer": "an integer", "float": "a number"}


class Choice(click.Choice):
    """One of several names, however it is written."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        names = [str(name) for name in self.choices]
        found = find_name(value, names)
        if found is None:
            self.fail(f"is {value!r}; expected {expected_name(value, names)}", param, ctx)
        return found

    def get_missing_message(self, *_: Any, **__: Any) -> str:
        return f"expected one of {', '.join(map(str, self.choices))}"


class DataName(click.ParamType):
    """A name of data as files keep it; a path, and what is no name, stays as it is."""

    name = "data"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        from sparsecpu.datasets.names import data_name

        return data_name(value)


def data_argument(required: bool = True) -> Any:
    """Return the decorator of the argument DATA."""
    return click.argument("data", type=DataName(), required=required)


def unknown_command(word: str, names: Collection[str], ctx: click.Context) -> click.UsageError:
    """Return the error that there is no such command."""
    return click.UsageError(f"there is no command {word}{suggested(word, names)}", ctx)


def usage_line(error: click.UsageError) -> str:
    """Return in one line what is wrong with the words of a command."""
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {error.option_name}{_options_like(error)}"
    text = " ".join(error.message.split()).rstrip(".")
    if isinstance(error, click.BadParameter) and error.param is not None and text:
        name, known = _typed(error.param), _NOT.fullmatch(text)
        if known is not None:
            value, kind, span = known.groups()
            expected = _KINDS[kind] if kind else f"a number in the range {span}"
            return f"{name} is {value}; expected {expected}"
        return f"{name} {text}" if text.startswith("is ") else f"{name}: {text}"
    text = " ".join(error.format_message().split()).rstrip(".").replace(". ", "; ")
    return text[:1].lower() + text[1:]


def _options_like(error: click.NoSuchOption) -> str:
    params = error.ctx.command.get_params(error.ctx) if error.ctx is not None else []
    names = [word for param in params for word in (*param.opts, *param.secondary_opts)]
    return suggested(error.option_name, [name for name in names if name.startswith("--")])


def _typed(param: click.Parameter) -> str:
    """Return an argument as users type it."""
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
