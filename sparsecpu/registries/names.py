"""Names as users give them, read here and nowhere else; and what is said of one that is unknown.

Case, hyphens, underscores and spaces make no difference: ``RigL``, ``resnet18`` and ``VGG D`` are
``rigl``, ``resnet-18`` and ``vgg-d``. What is kept in files is the name as it is registered.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any

from sparsecpu.errors import ParameterError

_BETWEEN = re.compile(r"[\s_-]+")
#: Characters of the longest list that an error repeats, and names that it suggests from a longer.
_LONGEST, _MOST = 120, 3
#: Names that an error repeats of a very long list that is shown nowhere.
_FIRST = 5
#: How alike names must be, from 0 to 1, for one to be suggested in place of the other.
_ALIKE = 0.6
#: How alike those are of which one is the beginning of the other.
_BEGINS = 0.85
#: How much less alike than the first one another may be that is suggested beside it.
_NEAR = 0.15


def fold(name: str) -> str:
    """Return what two ways to write the same name have in common."""
    return _BETWEEN.sub("", name).casefold()


def find_name(text: Any, names: Collection[str]) -> str | None:
    """Return the name that a text stands for, as it is registered; None if it is none of them."""
    if not isinstance(text, str):
        return None
    if text in names:
        return text
    wanted = fold(text)
    return next((name for name in names if fold(name) == wanted), None)


def read_name(
    what: str, value: Any, names: Collection[str], listed: str = "", others: str = ""
) -> str:
    """Return the name that a value stands for; refuse what is none of the names.

    ``what`` is the argument that an error names, ``listed`` the list that ``sparsecpu list`` shows
    them in, and ``others`` says in words what else might have been given.
    """
    found = find_name(value, names)
    if found is None:
        raise ParameterError(what, value, expected_name(value, names, listed, others))
    return found


def expected_name(value: Any, names: Iterable[str], listed: str = "", others: str = "") -> str:
    """Return in words what was expected in place of a value; a long list is not repeated.

    See ``read_name`` for the arguments.
    """
    names = list(names)
    text, count = ", ".join(names), 1
    if listed and len(text) > _LONGEST:
        text, count = f"those that sparsecpu list {listed} shows", _MOST
    elif len(text) > 2 * _LONGEST and isinstance(value, str):
        wanted = fold(value)
        first = sorted(names, key=lambda name: -_likeness(wanted, name))[:_FIRST]
        text = f"{', '.join(first)} or {len(names) - len(first)} others"
    return f"one of {text}{others}{suggested(value, names, count)}"


def suggested(value: Any, names: Iterable[str], count: int = 1) -> str:
    """Return a question behind an error, ``"; did you mean rigl?"``; or nothing."""
    near = nearest(value, names)[:count]
    *most, last = near or [""]
    words = f"{', '.join(most)} or {last}" if most else last
    return f"; did you mean {words}?" if near else ""


def nearest(value: Any, names: Iterable[str]) -> list[str]:
    """Return the few names that a value may have been meant for, the most alike first."""
    if not isinstance(value, str):
        return []
    wanted = fold(value)
    alike = {name: _likeness(wanted, name) for name in names}
    found = sorted((name for name in alike if alike[name] >= _ALIKE), key=lambda n: -alike[n])
    return [name for name in found[:_MOST] if alike[name] > alike[found[0]] - _NEAR]


def _likeness(wanted: str, name: str) -> float:
    """Return how likely it is that a folded text is meant for a name, from 0 to 1."""
    read, first = fold(name), fold(_BETWEEN.split(name)[0])
    matcher = difflib.SequenceMatcher(None, "", wanted)
    found = []
    for text, factor in ((read, 1.0), (first, _BEGINS)):  # lenetx begins like lenet-300-100
        matcher.set_seq1(text)
        found.append(factor * matcher.ratio())
    if len(wanted) > 2 and wanted in read:
        found.append(_BEGINS if read.startswith(wanted) else _ALIKE)
    return max(found)
