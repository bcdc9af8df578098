"""Names with options, as users write them: ``"gse:distribution=grabo,subset=2"``."""

from __future__ import annotations

from collections.abc import Collection
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


def spelled_options(given: str, known: Collection[str]) -> str:
    """Return ``option=value,option=value`` with those of the options that are known as they are."""
    parts = [part.partition("=") for part in given.split(",")]
    read = [(find_name(option.strip(), known) or option, *rest) for option, *rest in parts]
    return ",".join("".join(part) for part in read)


def _read(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
