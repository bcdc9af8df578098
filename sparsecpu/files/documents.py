"""JSON documents of our own, read as meant or refused in one line."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError
from sparsecpu.reading.files import read_content
from sparsecpu.step.plain_values import Kind

#: Lists and tables in one another; far more than networks in networks need.
_DEEPEST = 100
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(content: bytes | str, where: str, kind: Kind) -> Any:
    """Return what a JSON text says, if that is of this kind; ``where`` names it in errors.

    Raises ``FileFormatError``, whatever the text: cut off, not UTF-8, a name twice, too deep.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        found = json.loads(text, object_pairs_hook=_without_doubles)
        if _SURROGATE.search(text):  # half a character, which nothing could print
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise FileFormatError(f"{where} is damaged: lists in lists without an end") from None
    except ValueError as error:  # of JSON, of UTF-8, and of integers with too many digits
        raise FileFormatError(f"{where} is damaged: {error}") from None
    _refuse_depth(found, where)
    return kind(found, where)


def read_json(path: Path, kind: Kind) -> Any:
    """Return what a JSON file says, if that is of this kind; see ``parse_json``."""
    try:
        content = read_content(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
    return parse_json(content, str(path), kind)


def read_json_lines(path: Path, kind: Kind) -> list[Any]:
    """Return what each line of a file says; a last line that was cut off is left out.

    An empty list if there is no such file.
    """
    try:
        content = read_content(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
    *lines, rest = content.split(b"\n")
    found = [parse_json(line, f"{path}, line {i}", kind) for i, line in enumerate(lines, start=1)]
    with contextlib.suppress(FileFormatError):
        found += [parse_json(rest, str(path), kind)] if rest else []
    return found


def finite(value: Any) -> Any:
    """Return plain values as JSON can have them: NaN and infinity become null."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in a table")
    return found


def _refuse_depth(found: Any, where: str) -> None:
    level = [found]
    for _ in range(_DEEPEST):
        containers = [node for node in level if isinstance(node, (dict, list))]
        if not containers:
            return
        level = []
        for node in containers:
            level += node.values() if isinstance(node, dict) else node
    raise FileFormatError(f"{where} is damaged: more than {_DEEPEST} lists in lists")
