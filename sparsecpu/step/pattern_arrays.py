"""Patterns as arrays of a file, and back: an index, once per group where rows stand in groups."""

from __future__ import annotations

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError, PatternError
from sparsecpu.sparse.groups import SIZES, checked_group
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, take
from sparsecpu.step.plain_values import shown


def pattern_arrays(pattern: Pattern) -> dict[str, np.ndarray]:
    """Return ``indptr`` and ``indices``; of groups, where ``group`` says how many rows have them.

    A pattern whose rows stand alone has no ``group``.
    """
    groups = pattern.groups
    found = {"indptr": groups.indptr, "indices": groups.indices}
    if pattern.group > 1:
        found["group"] = np.array([pattern.group], dtype=np.int32)
    return found


def take_pattern(arrays: Arrays, start: str, shape: tuple[int, int]) -> Pattern:
    """Return the pattern of such arrays, whose names begin so, checked.

    Raises ``FileFormatError`` if they are none.
    """
    group = 1
    if f"{start}group" in arrays:
        found = take(arrays, f"{start}group", np.int32, (1,), least=SIZES[0], most=SIZES[-1])
        group = int(found[0])
    try:
        n_groups = -(-shape[0] // checked_group(group))
        indptr = take(arrays, f"{start}indptr", np.int64, (n_groups + 1,))
        indices = take(arrays, f"{start}indices", np.int32, (None,))
        groups = Pattern((n_groups, shape[1]), indptr, indices)
        return Pattern.of_groups(shape[0], group, groups)
    except (ParameterError, PatternError) as error:
        raise FileFormatError(f"the pattern {shown(start[:-1])} is damaged: {error}") from error
