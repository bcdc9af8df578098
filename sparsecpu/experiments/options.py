"""Options of a run: each with its default, its help and what it may be, said once.

A recipe's fields are made here; the command line, the checks and the estimators' documentation read
them back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sparsecpu.networks.groups import group_text, read_group
from sparsecpu.networks.models import find_model, hidden_sizes, spelled_model
from sparsecpu.registries import Registry
from sparsecpu.registries.names import read_name
from sparsecpu.registries.numbers import whole
from sparsecpu.sparse.densities import check_density

#: Raises ``ParameterError`` if a value cannot be that of the named option. What it returns, if
#: anything, takes the place of the value: a name as it is registered, however it was written.
Rule = Callable[[str, Any], Any]


def anything(name: str, value: Any) -> None:
    """Refuse nothing; what is built from the value refuses it."""


@dataclass(frozen=True)
class Option:
    """An option's help, its rule, and in words what no value stands for.

    ``group`` is where the command line's help shows it; a ``rare`` one is shown by ``--help-all``.
    """

    help: str
    rule: Rule = anything
    unset: str = ""
    group: str = "training"
    rare: bool = False

    def read(self, name: str, value: Any) -> Any:
        """Return a value with names as they are registered; refuse one that it may not have.

        None is no value.
        """
        found = None if value is None else self.rule(name, value)
        return value if found is None else found


def option(default: Any, help: str, rule: Rule = anything, **known: Any) -> Any:
    """Return a dataclass field that carries its ``Option``."""
    return field(default=default, metadata={"option": Option(help, rule, **known)})


def either(names: Iterable[str]) -> str:
    """Return names as one says them: ``"a, b or c"``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def one_of(names: Collection[str], listed: str = "") -> Rule:
    """Return the rule that a value is one of the names, which may still grow.

    ``listed`` is the list that ``sparsecpu list`` shows them in.
    """
    return lambda name, value: read_name(name, value, names, listed)


def spelled(registry: Registry[Any]) -> Rule:
    """Return the rule that a value is a name in a registry, perhaps with options."""
    return lambda name, value: registry.spelled(value)


def a_model(name: str, value: Any) -> str:
    """Return a model's name, or sizes of layers, as files keep it; refuse what is neither."""
    text = spelled_model(value)
    if find_model(text) is None:
        hidden_sizes(text)
    return text


def integer(least: int) -> Rule:
    """Return the rule that a value is an integer of at least ``least``."""

    def rule(name: str, value: Any) -> None:
        whole(name, value, least)

    return rule


def a_density(name: str, value: Any) -> None:
    """Refuse everything but numbers in (0, 1]."""
    check_density(value, name)


def a_group(name: str, value: Any) -> str:
    """Return groups as a command line says them, and as files keep them; refuse all else."""
    group: Any = read_group(value)
    return group_text(group if isinstance(group, list) else [group])
