"""What each column of a table is for: features, categories, the target, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from sparsecpu.datasets.columns import few, unlike_others
from sparsecpu.datasets.tables.cells import as_number, is_missing, is_number, is_whole
from sparsecpu.datasets.tables.sheet import Sheet
from sparsecpu.errors import DataError
from sparsecpu.kernels.column_roles import EMPTY, GOAL, NUMBER, SKIPPED, TEXT
from sparsecpu.registries.names import suggested

#: Names of columns that number or name the rows.
_UNNAMED = re.compile(r"column \d+|Unnamed: ?\d+")
_IDENTIFIER = re.compile(
    r"(?i:(?:.*[ _.-])?(?:id|idx|index|uuid|guid|row_?id|rownames))|.*[a-z]I[dD]"
)
#: Texts of a column that are too many for categories, where most rows have one of their own.
_MANY = 20


@dataclass(frozen=True)
class Plan:
    """What each column is read as; which are features, which is the target, which are left out.

    ``note`` says why columns are left out, "" if none is.
    """

    roles: tuple[int, ...]
    features: tuple[int, ...]
    target: int
    dropped: tuple[int, ...]
    note: str = ""


def plan_training(sheet: Sheet, target: str | None, task: str) -> Plan:
    """Return what the columns of a table are for that a model is trained on.

    Raises ``DataError`` if there is no such target, or a column of text among the features.
    """
    _check_names(sheet, target)
    empty = {at for at in range(sheet.width) if _is_empty(sheet, at)}
    goal = _target(sheet, target, empty)
    roles, why = [NUMBER] * sheet.width, dict[int, str]()
    text: list[int] = []
    for at in range(sheet.width):
        if at == goal:
            roles[at] = GOAL if _is_quantity(sheet, at, task) else TEXT
        elif at in empty:
            roles[at], why[at] = EMPTY, "empty"
        elif _counts_rows(sheet, at):
            roles[at], why[at] = SKIPPED, "it numbers or names the rows"
        elif _is_category(sheet, at):
            roles[at] = TEXT
            text.append(at)
    for at in _too_many(sheet, text):
        roles[at], why[at] = SKIPPED, "text of its own in most rows"
    _refuse_text(sheet, [at for at in text if at not in why])
    features = tuple(at for at in range(sheet.width) if at != goal and at not in why)
    if not features:
        raise DataError(f"{sheet.path} has no features beside {sheet.names[goal]!r}")
    return Plan(tuple(roles), features, goal, tuple(why), _note(sheet, why))


def _check_names(sheet: Sheet, target: str | None) -> None:
    """Refuse names that stand there twice, and those that the user means and are none."""
    name, count = Counter(sheet.names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{sheet.path} has {count} columns named {name[:50]!r}; expected one"
                        f"{sheet.unless_sample}")  # fmt: skip
    chosen = sheet.style.categorical
    for meant in (*(chosen if isinstance(chosen, tuple) else ()), target):
        if meant is not None and meant not in sheet.names:
            known = f"one of {few(sheet.names)}" if sheet.header else "names in the first line"
            near = suggested(meant, sheet.names) if sheet.header else ""
            raise DataError(f"{sheet.path} has no column {meant!r}; expected {known}{near}")


def _target(sheet: Sheet, target: str | None, empty: set[int]) -> int:
    """Return the column of targets: the last one that is not empty, unless the user names it."""
    if target is not None:
        return sheet.names.index(target)
    rest = [at for at in range(sheet.width) if at not in empty]
    if len(rest) < 2:
        raise DataError(f"{sheet.path} has one column; expected features and a target")
    names = [sheet.names[at] for at in rest if not _counts_rows(sheet, at)]
    odd = unlike_others(names)
    if odd is not None and odd < len(names) - 1:
        raise DataError(
            f"{sheet.path}: {names[odd]!r} is named unlike the other columns, and the last one, "
            f"{names[-1]!r}, is the target unless you say otherwise; say --target {names[odd]!r} "
            f"or --target {names[-1]!r}"
        )
    return rest[-1]


def _values(sheet: Sheet, at: int) -> list[str]:
    """Return the first cells of a column that have a value."""
    marks = sheet.style.marks
    cells = (row[at].strip() for row in sheet.rows if at < len(row))
    return [cell for cell in cells if not is_missing(cell, marks)]


def _is_empty(sheet: Sheet, at: int) -> bool:
    unnamed = not sheet.header or _UNNAMED.fullmatch(sheet.names[at])
    return bool(unnamed and sheet.rows) and not any(
        row[at].strip() for row in sheet.rows if at < len(row)
    )


def _is_quantity(sheet: Sheet, at: int, task: str) -> bool:
    """Return True for a target that is to be read as numbers, whatever comes."""
    if task != "auto":
        return task == "regression"
    cells, decimal = _values(sheet, at), sheet.dialect.decimal
    numbers = [number for cell in cells if (number := as_number(cell, decimal)) is not None]
    return 2 * len(numbers) > len(cells) and any(number % 1 for number in numbers)


def _counts_rows(sheet: Sheet, at: int) -> bool:
    """Return True for a column that numbers or names the rows: it has no name, or one that says so.

    That is so only if no value in it stands there twice.
    """
    name, chosen = sheet.names[at], sheet.style.categorical
    if not sheet.header or (isinstance(chosen, tuple) and name in chosen):
        return False
    if not (_IDENTIFIER.fullmatch(name) or (at == 0 and _UNNAMED.fullmatch(name))):
        return False
    cells = _values(sheet, at)
    decimal = sheet.dialect.decimal
    kinds = {is_whole(cell) or not is_number(cell, decimal) for cell in cells}
    return kinds == {True} and len(set(cells)) == len(sheet.rows) > 1


def _is_category(sheet: Sheet, at: int) -> bool:
    """Return True for a column of categories: the user says so, or most of it is text."""
    chosen = sheet.style.categorical
    if isinstance(chosen, tuple) and sheet.names[at] in chosen:
        return True
    cells, decimal = _values(sheet, at), sheet.dialect.decimal
    return 2 * sum(is_number(cell, decimal) for cell in cells) < len(cells)


def _too_many(sheet: Sheet, text: list[int]) -> list[int]:
    """Return columns of text, of those that nobody named, in which most rows have their own."""
    if sheet.style.categorical != "auto":
        return []
    counts = {at: len(set(_values(sheet, at))) for at in text}
    return [at for at, count in counts.items() if count > max(_MANY, len(sheet.rows) // 2)]


def _refuse_text(sheet: Sheet, text: list[int]) -> None:
    """Refuse columns of text that nobody has called categories."""
    chosen = sheet.style.categorical
    names = [sheet.names[at] for at in text]
    left = [name for name in names if not (chosen == "auto" or name in (chosen or ()))]
    if left:
        at = sheet.names.index(left[0])
        value = _values(sheet, at)[0][:50]
        what = f"{few(left)} {'is' if len(left) == 1 else 'are'} text (such as {value!r})"
        raise DataError(
            f"{sheet.path}: {what}; --categorical auto turns each value into a feature of its own, "
            "and --categorical NAMES does so for columns that you name"
        )


def _note(sheet: Sheet, why: dict[int, str]) -> str:
    """Return in a line which columns are left out, and why."""
    reasons = {
        reason: [sheet.names[at] for at in why if why[at] == reason] for reason in why.values()
    }
    told = [f"{few(names)} ({reason})" for reason, names in reasons.items()]
    return f"{sheet.path}: left out: {'; '.join(told)}" if told else ""
