"""Names with options, as users write them: ``"gse:distribution=grabo,subset=2"``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.registries.names import find_name


def read_options(what: str, text: str) -> tuple[str, dict[str, Any]]:
    """Split ``NAME:option=value,option=value`` into the name and its options.

    Values become numbers and truth values where they look like them; ``what`` is the argument that
    an error names.
    """
    name, _, given = text.partition(":")
    options: dict[str, Any] = {}
    for part in given.split(",") if given else ():
        option, equals, value = part.partition("=")
        if not equals:
            raise ParameterError(what, text, "NAME or NAME:option=value,option=value")
        options[option.strip()] = _read(value.strip())
    return name, options


def spelled_options(
    given: str, known: Collection[str], choices: Mapping[str, Collection[str]] | None = None
) -> str:
    """Return ``option=value,option=value`` with the names as they are registered.

    ``known`` are the options that there are, and ``choices`` the names that some of them may have.
    What is none of them stays as it is.
    """
    parts = []
    for option, equals, value in (part.partition("=") for part in given.split(",")):
        found = find_name(option.strip(), known) or option
        chosen = find_name(value.strip(), (choices or {}).get(found, ())) or value
        parts.append(found + equals + chosen)
    return ",".join(parts)


def _read(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
