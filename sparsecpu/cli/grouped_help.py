"""Options that know which group of the help they stand in, and commands that show them so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sparsecpu.cli.names import unknown_command
from sparsecpu.registries.names import find_name

#: Groups of options in the order of ``--help``, behind those that a command has for itself.
GROUPS = ("data", "network", "sparsity", "training", "output")
#: Where an option stands that names no group, as one does that is made by ``click.option``.
USUAL_GROUP = "output"
#: Below so many columns the help of an option stands under it, not beside it.
_NARROW = 60
#: Stands for a hyphen while text is broken into lines, so that no name is broken in two.
_HYPHEN = "\N{NON-BREAKING HYPHEN}"
#: The last group, which every command has.
_HELP = "help"
_ALL = "sparsecpu.help_all"
_INNERMOST = "sparsecpu.innermost"


class Option(click.Option):
    """An option of a group; a ``rare`` one is shown by ``--help-all`` alone."""

    def __init__(self, *words: Any, group: str = "", rare: bool = False, **known: Any) -> None:
        super().__init__(*words, **known)
        self.group, self.rare = group, rare


def option(*flags: str, group: str = "", rare: bool = False, **known: Any) -> Callable:
    """Return ``click.option``'s decorator, for an option of a group of the help.

    ``group`` is one of ``GROUPS``, or another that a command has for itself.
    """
    return click.option(*flags, cls=Option, group=group, rare=rare, **known)


class _Formatter(click.HelpFormatter):
    """Writes help as wide as the terminal, down to 40 columns, and breaks no name in two."""

    def __init__(self, *_: Any, **__: Any) -> None:
        import shutil

        super().__init__(width=max(36, min(shutil.get_terminal_size().columns, 80) - 2))

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
        whole = [(term, text.replace("-", _HYPHEN)) for term, text in rows]
        if whole:
            super().write_dl(whole, 4 if self.width < _NARROW else col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_HYPHEN, "-")


class Context(click.Context):
    """A context whose help fits the terminal."""

    formatter_class = _Formatter


def _show_all(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the help with the rare options in it, and end."""
    if asked and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


class Command(click.Command):
    """A command whose help has its options in groups, the rare ones under ``--help-all``."""

    context_class = Context

    def __init__(self, *words: Any, **known: Any) -> None:
        super().__init__(*words, **known)
        if any(getattr(known, "rare", False) for known in self.params):
            self.params.append(Option(
                ["--help-all"], is_flag=True, is_eager=True, expose_value=False,
                callback=_show_all, group=_HELP,
                help="Show the options that are rarely needed, too.",
            ))  # fmt: skip

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = self._shown(ctx)
        if len(groups) < 3:
            groups = {"options": [option for members in groups.values() for option in members]}
        for group, members in groups.items():
            records = [option.get_help_record(ctx) for option in members]
            with formatter.section(group.capitalize()):
                formatter.write_dl([record for record in records if record is not None])

    def _shown(self, ctx: click.Context) -> dict[str, list[click.Parameter]]:
        """Return the options that are to be shown, by group, in the order of the groups."""
        groups: dict[str, list[click.Parameter]] = {group: [] for group in GROUPS}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option):
                usual = _HELP if set(option.opts) & set(ctx.help_option_names) else USUAL_GROUP
                members = groups.setdefault(getattr(option, "group", "") or usual, [])
                if ctx.meta.get(_ALL) or not getattr(option, "rare", False):
                    members.append(option)
        own = [group for group in groups if group not in (*GROUPS, _HELP)]
        order = (*own, *GROUPS, _HELP)
        return {group: groups[group] for group in order if groups.get(group)}

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta[_INNERMOST] = self
        return super().invoke(ctx)

    def get_short_help_str(self, limit: int = 45) -> str:
        return super().get_short_help_str(1_000)  # a list of commands has whole sentences


def innermost(ctx: click.Context | None) -> click.Command | None:
    """Return the command inside of all others that was begun last."""
    return None if ctx is None else ctx.meta.get(_INNERMOST)


def command(name: str | None = None, **known: Any) -> Callable[[Callable], Command]:
    """Return ``click.command``'s decorator, for a command with its options in groups."""
    return click.command(name, cls=Command, **known)


class Group(Command, click.Group):
    """A command of commands, which finds them however their names are written."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = find_name(name, self.list_commands(ctx))
        return None if found is None else self.load_command(ctx, found)

    def load_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of a name in the list of commands."""
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the name of the command that the first word asks for, it, and the other words."""
        word, names = args[0], self.list_commands(ctx)
        found = find_name(word, names)
        if found is None and not word.startswith("-"):
            raise unknown_command(word, names, ctx)
        return super().resolve_command(ctx, [found or word, *args[1:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
