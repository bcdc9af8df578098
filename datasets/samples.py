"""Samples for a model: all of a file, in its order, with their targets or without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.arrays import open_archive, own_name, read_pair, read_x
from sparsecpu.datasets.columns import Columns
from sparsecpu.datasets.formats import file_format
from sparsecpu.datasets.matching import Layout, Match, match_columns, note_of_place
from sparsecpu.datasets.svmlight import read_sparse_rows
from sparsecpu.datasets.tables import read_features
from sparsecpu.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Samples, and their targets as the file has them; None where nobody asked for them.

    ``own_parts`` is True if the file itself says which samples are for testing; these are the ones
    that were asked for then. ``shape`` is that of one sample, where the file says it. ``notes`` are
    what the user should know.
    """

    x: Any
    y: np.ndarray | None
    own_parts: bool = False
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read_samples(
    path: Path | str,
    features: int,
    *,
    target: str | None = None,
    columns: Columns | None = None,
    format: str = "auto",
) -> Any:
    """Read samples to predict for, shape (samples, features), from a file of any format.

    Parameters
    ----------
    path : path
        A table with a column per feature, or one more, which is left out; an ``.npz`` with ``x``
        (or ``x_test``); or a svmlight file.
    features : int
        Numbers per sample that the model expects.
    target : str, optional
        Name of the column to leave out; the last one by default.
    columns : Columns, optional
        The columns that the model was trained on; they are found by their names.
    format : {"auto", "csv", "npz", "svmlight"}
        What the file is; by default what is in it tells.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    return read_rows(path, Layout(features, columns), target=target, format=format).x


def read_rows(
    path: Path | str,
    layout: Layout,
    *,
    part: str = "test",
    scored: bool = False,
    target: str | None = None,
    format: str = "auto",
    zero_based: bool | None = None,
    **style: Any,
) -> Rows:
    """Return the samples of a file as a model expects them.

    Parameters
    ----------
    path : path
        The file.
    layout : Layout
        What the model expects.
    part : {"train", "test", "all"}
        Which samples, if the file has arrays for training and for testing.
    scored : bool
        True if targets are needed, too.
    target, format, zero_based : str, str, bool
        As ``open_data`` takes them.
    **style
        ``missing``, ``drop_missing`` and ``header`` of a table, as ``open_data`` takes them.

    Raises
    ------
    DataError
        If the file cannot be used, or does not fit the model.
    """
    path = Path(path)
    kind = file_format(path, format, target=target, zero_based=zero_based, **style)
    if kind == "npz":
        return _archive_rows(path, layout, part, scored)
    if kind == "svmlight":
        found = read_sparse_rows(path, layout.features, layout.first_feature, zero_based=zero_based)
        return Rows(found.x, found.y, notes=_notes(note_of_place(path, layout.columns)))
    style.pop("categorical", None)  # the model knows its categories
    if scored and layout.columns is not None and layout.columns.drop_missing:
        style["drop_missing"] = True  # but each row is predicted, or none
    return _table_rows(path, layout, target, scored, style)


def _archive_rows(path: Path, layout: Layout, part: str, scored: bool) -> Rows:
    """Return ``x`` and ``y`` of an archive, or its parts for training and testing."""
    with open_archive(path) as archive:
        names = {name.lower() for name in archive.members}
        parts = ("train", "test") if part == "all" else (part,)
        pairs = [("x", "y")] if "x" in names else [(f"x_{name}", f"y_{name}") for name in parts]
        if not names.issuperset(pair[0] for pair in pairs):
            raise DataError(f"{path} has {sorted(names)}; expected x, or x_{parts[0]}")
        if scored and not names.issuperset(pair[1] for pair in pairs):
            raise DataError(f"{path} has {sorted(names)}; expected {pairs[0][1]} to compare with")
        y = None
        if scored:
            found = [read_pair(archive, *pair, layout.features) for pair in pairs]
            xs, ys = zip(*found, strict=True)
            y = np.concatenate(ys)
        else:
            xs = tuple(read_x(archive, pair[0], layout.features) for pair in pairs)
        shape = archive.header(own_name(archive, pairs[0][0])).shape[1:]
    x = xs[0] if len(xs) == 1 else np.concatenate(xs)
    notes = _notes(note_of_place(path, layout.columns))
    return Rows(x, y, own_parts="x" not in names, notes=notes, shape=shape)


def _table_rows(
    path: Path, layout: Layout, target: str | None, scored: bool, style: dict[str, Any]
) -> Rows:
    """Return the rows of a table; ``style`` are arguments of ``read_features``."""
    if style.get("drop_missing") and not scored:
        raise DataError("--drop-missing would leave out rows, and each is to be predicted")
    note = ""

    def match(names: list[str] | None, width: int) -> Match:
        nonlocal note
        found = match_columns(path, names, width, layout, target=target, scored=scored)
        note = found.note
        return found

    wanted = layout.task if scored else None
    x, y, notes = read_features(path, layout.columns, match, task=wanted, **style)
    return Rows(x, y, notes=_notes(note, *notes))


def _notes(*notes: str) -> tuple[str, ...]:
    """Return those that say something."""
    return tuple(note for note in notes if note)
