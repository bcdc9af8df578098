"""Names with options, as users write them: ``"gse:distribution=grabo,subset=2"``."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import ParameterError


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


def _read(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
