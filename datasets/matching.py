"""Which column of a table is which of a model's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsecpu.datasets.columns import Columns, few, unlike_others
from sparsecpu.errors import DataError
from sparsecpu.registries.names import suggested


@dataclass(frozen=True)
class Layout:
    """What a model expects of a sample, and what it remembers of the data that it was trained on.

    ``features`` are the numbers of a sample; ``columns`` are those of a table, and
    ``first_feature`` is the number of the first feature in a svmlight file, each None if it was
    trained on something else; ``task`` is "classification" or "regression".
    """

    features: int
    columns: Columns | None = None
    first_feature: int | None = None
    task: str = "classification"


@dataclass(frozen=True)
class Match:
    """The column of each feature in a table, and that of the targets, None if it has none.

    ``note`` is what the user should know of it, if anything.
    """

    features: tuple[int, ...]
    target: int | None
    note: str = ""


def match_columns(
    path: Path,
    names: Sequence[str] | None,
    width: int,
    layout: Layout,
    *,
    target: str | None = None,
    scored: bool = False,
) -> Match:
    """Find the columns of a model in a table, by their names if both have them.

    Parameters
    ----------
    path : path
        The file.
    names : sequence of str or None
        Names of its columns.
    width : int
        How many columns it has.
    layout : Layout
        What the model expects.
    target : str, optional
        Name of the column of targets, if it is not called as in training.
    scored : bool
        True if there must be targets.

    Raises
    ------
    DataError
        If a column is missing, stands there twice, or cannot be told from another.
    """
    columns = layout.columns
    if target is not None and (names is None or target not in names):
        known = "names in the first line" if names is None else f"one of {few(names)}"
        near = suggested(target, names or ())
        raise DataError(f"{path} has no column {target!r}; expected {known}{near}")
    if columns is None or not columns.header or names is None:
        return _by_place(path, names, width, layout, target, scored)
    places, counts = {name: at for at, name in enumerate(names)}, Counter(names)
    missing = [name for name in columns.names if name not in places]
    if missing:
        raise DataError(
            f"{path} has no column {few(missing)}, which the model expects; it has {few(names)}"
        )
    wanted = columns.target if target is None else target
    unknown = [name for name in names if name not in {*columns.names, *columns.dropped}]
    if wanted is None and scored and len(unknown) == 1:
        wanted = unknown[0]  # the model was trained in Python, on targets without a name
    if scored and wanted not in names:
        goal = "column of targets that the model knows" if wanted is None else f"column {wanted!r}"
        raise DataError(f"{path} has no {goal} to compare with; see --target")
    if wanted in columns.names:
        raise DataError(f"target is {wanted!r}, which is a feature of the model")
    for name in columns.names if wanted is None else (*columns.names, wanted):
        if counts[name] > 1:
            raise DataError(f"{path} has {counts[name]} columns named {name!r}")
    unknown = [name for name in unknown if name != wanted]
    note = f"{path}: ignoring {few(unknown)}, unknown to the model" if unknown else ""
    features = tuple(places[name] for name in columns.names)
    return Match(features, None if wanted is None else places.get(wanted), note)


def _by_place(
    path: Path,
    names: Sequence[str] | None,
    width: int,
    layout: Layout,
    target: str | None,
    scored: bool,
) -> Match:
    """Return the columns in the order of the training table, if there are as many."""
    columns, note = layout.columns, ""
    features, goal, whole = [str(i) for i in range(layout.features)], "", list[str]()
    if columns is not None:
        features, goal, whole = [*columns.names], columns.target or goal, [*columns.order]
        note = note_of_place(path, columns, features)
    elif names is not None and target is None and width == len(features) + 1:
        note = _last_left_out(path, names)
    if target is not None and names is not None:
        at = names.index(target)
        orders = [[*features[:at], goal, *features[at:]]]
    else:
        orders = [whole, [*features, goal]]
        if not scored:
            orders += [[name for name in whole if name != goal], features]
    fitting = [order for order in orders if len(order) == width]
    if not fitting:
        either = "a target" if scored else "perhaps a target"
        raise DataError(
            f"{path} has {width} columns; the model expects {len(features)} and {either}"
        )
    order = fitting[0]  # all columns of the training table, if there are as many
    if order != whole and any(other != order for other in fitting):
        raise DataError(
            f"{path} has {width} columns without names, which could be read in two ways, as "
            f"{len(whole) - len(features) - 1} were left out in training; add names"
        )
    found = order.index(goal) if goal in order else None
    return Match(tuple(order.index(name) for name in features), found, note)


def _last_left_out(path: Path, names: Sequence[str]) -> str:
    """Return what to say where the last column is taken for the target, "" if it is without doubt.

    Raises ``DataError`` where another one seems to be it.
    """
    odd = unlike_others(names)
    if odd is None:
        return f"{path}: the last column, {names[-1]!r}, is taken for the target; see --target"
    if odd < len(names) - 1:
        raise DataError(
            f"{path} has a column more than the model expects, and {names[odd]!r} is named unlike "
            f"the others; say --target {names[odd]!r} if it is no feature, else "
            f"--target {names[-1]!r}"
        )
    return ""


def note_of_place(path: Path, columns: Columns | None, names: Sequence[str] | None = None) -> str:
    """Return what to say of data without names for a model that knows some."""
    if columns is None or not columns.header:
        return ""
    taken = few(columns.feature_names if names is None else names)
    return f"{path} has no names: its columns are taken as {taken}"
