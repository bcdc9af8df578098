"""Damage to JSON: other values, types, names and depths, and text that is not quite JSON."""

import copy
import json
from random import Random
from typing import Any

from tests.fuzz.alter_bytes import alter_bytes, boundary

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.0, -0.0, 0.5, 1e308, 1e-320, float("nan"), float("inf"),
    -float("inf"), 2**31, 2**63, -(2**63) - 1, 10**30, "", "x", "0", "é", "\0", "\ud800", "../x",
    "\n\x1b[2J", "nan", [], {}, [[]], [None], {"": None}, [1, 2], {"kind": "relu"}, "y" * 3000,
)  # fmt: skip


def alter_json(rng: Random, value: Any, most: int = 3) -> Any:
    """Return a copy of plain values with one to ``most`` changes at any depth."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, most)):
        value = _altered(rng, value)
    return value


def alter_json_text(rng: Random, value: Any) -> bytes:
    """Return JSON, changed as values or as text."""
    text = json.dumps(alter_json(rng, value) if rng.random() < 0.8 else value).encode()
    if rng.random() < 0.3:
        text = rng.choice(_TEXTS)(rng, text)
    return text


def _altered(rng: Random, value: Any) -> Any:
    """Change one value, at a place that is drawn by walking down."""
    places = list(_places(value))
    if not places or rng.random() < 0.03:
        return copy.deepcopy(rng.choice(_VALUES))
    parent, key = rng.choice(places)
    change = rng.randrange(10)
    if change == 0:
        del parent[key]
    elif change == 1 and isinstance(parent, dict):
        parent[rng.choice((f"{key}x", "", key.upper(), "kind", "__class__"))] = parent.pop(key)
    elif change == 2 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif change == 3:
        parent[key] = [parent[key]] if rng.random() < 0.5 else {"x": parent[key]}
    elif change == 4:
        parent[key] = copy.deepcopy(rng.choice(places)[0])
    elif change <= 6 and isinstance(parent[key], int | float):
        parent[key] = rng.choice((boundary(rng), parent[key] + 1, -parent[key], parent[key] * 2,
                                  str(parent[key]), parent[key] + 0.5))  # fmt: skip
    else:
        parent[key] = copy.deepcopy(rng.choice(_VALUES))
    return value


def _places(value: Any):
    """Yield every container and key below a value."""
    stack = [value]
    while stack:
        held = stack.pop()
        if isinstance(held, dict | list):
            for key in held if isinstance(held, dict) else range(len(held)):
                yield held, key
                stack.append(held[key])


def _nested(rng, text):
    depth = rng.choice((10, 500, 990, 2000, 50_000 if rng.random() < 0.1 else 900))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    middle = (opening * depth).encode() + b"1" + (closing * depth).encode()
    at = text.find(b":") + 1
    return text[:at] + middle + text[at:].lstrip(b" 0123456789.") if rng.random() < 0.5 else middle


def _long_number(rng, text):
    digits = b"9" * rng.choice((30, 400, 4301, 20_000))
    return _number_replaced(rng, text, digits)


def _odd_number(rng, text):
    odd = rng.choice((b"1e999", b"-1e999", b"NaN", b"Infinity", b"01", b"1.", b"+1", b"1_0", b"-0"))
    return _number_replaced(rng, text, odd)


def _number_replaced(rng, text, new):
    places = [i for i, byte in enumerate(text) if 48 <= byte <= 57]
    if not places:
        return new
    at = rng.choice(places)
    return text[:at] + new + text[at + 1 :]


def _twice(rng, text):
    """Say the first name of a table twice."""
    first = text[1 : text.find(b",")]
    return b"{" + first + b"," + text[1:]


_TEXTS = (
    _nested, _long_number, _odd_number, _twice,
    lambda rng, text: alter_bytes(rng, text, text),
    lambda rng, text: b"\xef\xbb\xbf" + text,
    lambda rng, text: text.decode().encode("utf-16"),
    lambda rng, text: text.replace(b'"', b"'"),
)  # fmt: skip
