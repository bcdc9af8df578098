"""What a model remembers of the table that it was trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sparsecpu.errors import FileFormatError
from sparsecpu.step.plain_values import listed, maybe, named, one_of, table, text, truth

#: So many names stand in a message.
_SHOWN = 8
#: How labels are written: as they are, as integers, or as other numbers.
LABEL_KINDS = ("text", "integer", "number")
_KIND = table(
    {"names": listed(text)},
    {
        "target": maybe(text), "label_kind": one_of(LABEL_KINDS),
        "categories": named(listed(text)), "missing": listed(text), "dropped": listed(text),
        "header": truth, "order": listed(text), "drop_missing": truth,
    },
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns of a table, by which another table is read as this one was.

    Parameters
    ----------
    names : tuple of str
        The columns of features in the order of the file; one of categories is still one here.
    target : str or None
        The column of targets.
    label_kind : {"text", "integer", "number"}
        What the targets were read as: text, integers, or numbers with fractions.
    categories : dict of str to tuple of str
        The values of each column of categories, in the order of their numbers. Such a column
        becomes as many numbers, of which one is 1 and the others are 0.
    missing : tuple of str
        What stands in a cell without a value.
    dropped : tuple of str
        Columns that were left out.
    header : bool
        False if the table had no names. They are ``column 1``, ``column 2`` … then, and columns
        are known by their place.
    order : tuple of str
        All columns in the order of the file: features, targets, and those that were left out.
    drop_missing : bool
        True if rows without a value were left out.
    """

    names: tuple[str, ...]
    target: str | None = None
    label_kind: str = "number"
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    header: bool = True
    order: tuple[str, ...] = ()
    drop_missing: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the numbers of a sample; those of categories are ``name=value``."""
        found: list[str] = []
        for name in self.names:
            values = self.categories.get(name)
            found += [name] if values is None else [f"{name}={value}" for value in values]
        return tuple(found)

    @property
    def n_features(self) -> int:
        """How many numbers a sample has."""
        return len(self.names) + sum(len(values) - 1 for values in self.categories.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as plain values, as JSON has them."""
        found = asdict(self)
        for name in ("names", "missing", "dropped", "order"):
            found[name] = list(found[name])
        found["categories"] = {name: list(known) for name, known in self.categories.items()}
        return found

    @classmethod
    def from_dict(cls, values: Any) -> Columns:
        """Return the columns that ``to_dict`` gave these plain values of.

        Raises ``FileFormatError`` if ``values`` are no columns of a table.
        """
        given = dict(_KIND(values, "columns"))
        for name in ("names", "missing", "dropped", "order"):
            given[name] = tuple(given.get(name, ()))
        categories = given.get("categories", {})
        given["categories"] = {name: tuple(known) for name, known in categories.items()}
        names = given["names"]
        if not names or len(set(names)) < len(names):
            raise FileFormatError("columns.names is empty or has a name twice")
        order, target = given["order"], given.get("target")
        needed = names if target is None else (*names, target)
        if order and any(order.count(name) != 1 for name in needed):
            raise FileFormatError("columns.order does not fit columns.names")
        for name, known in given["categories"].items():
            if name not in names or not known or len(set(known)) < len(known):
                raise FileFormatError("columns.categories does not fit columns.names")
        return cls(**given)


def few(names: Sequence[str]) -> str:
    """Return names for a message, not too many of them."""
    shown = ", ".join(repr(name[:50]) for name in names[:_SHOWN])
    return shown + (f" … ({len(names)} in all)" if len(names) > _SHOWN else "")


def unlike_others(names: Sequence[str]) -> int | None:
    """Return the place of the one name that is unlike all others, which differ by a number alone.

    In ``label, pixel0, pixel1, pixel2`` that is 0; it is None where there is no such name.
    """
    forms = [re.sub(r"\d+", "0", name) for name in names]
    if len(names) < 4:
        return None
    (usual, often), *rest = Counter(forms).most_common()
    if "0" not in usual or often < len(names) - 1 or not rest:
        return None
    return forms.index(rest[0][0])
