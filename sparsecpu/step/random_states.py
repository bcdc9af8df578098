"""States of random generators, as files hold them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError


def set_state(generator: np.random.Generator, state: Any, where: str) -> None:
    """Put a generator into a state, or refuse one that it cannot be in and leave it alone.

    NumPy's own setter has the last word, on a copy: what it takes but reads otherwise (a number
    that wraps around, say) is refused, too.
    """
    kept = generator.bit_generator.state
    probe = copy.deepcopy(generator.bit_generator)
    try:
        good = _same_form(state, kept)
        if good:
            probe.state = state
            good = probe.state == state and _moves(state)
    except (TypeError, ValueError, KeyError, OverflowError):
        good = False
    if not good:
        name = kept["bit_generator"]
        raise FileFormatError(f"{where} is no state of NumPy's random generator {name}")
    generator.bit_generator.state = state


def _same_form(state: Any, other: Any) -> bool:
    """Return True if two states have the same names, and values of the same types."""
    if isinstance(other, dict):
        return (
            isinstance(state, dict)
            and state.keys() == other.keys()
            and all(_same_form(state[name], other[name]) for name in other)
        )
    return state == other if isinstance(other, str) else type(state) is type(other)


def _moves(state: dict[str, Any]) -> bool:
    """Return False for what NumPy takes of PCG64 but never says itself.

    With an even increment it may draw one number for ever.
    """
    if state["bit_generator"] != "PCG64":
        return True
    rest = 0 <= state["uinteger"] < 2**32
    return state["state"]["inc"] % 2 == 1 and state["has_uint32"] in (0, 1) and rest


def follows_order(
    generator: np.random.Generator, before: Any, samples: int, where: str
) -> bool:  # fmt: skip
    """Return True if drawing an order of so many samples leads from a state to the generator's."""
    probe = copy.deepcopy(generator)
    set_state(probe, before, where)
    probe.permutation(samples)
    return probe.bit_generator.state == generator.bit_generator.state
