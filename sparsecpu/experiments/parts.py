"""Which samples of some data a model is scored on, or predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets import open_data
from sparsecpu.datasets.base import held_out
from sparsecpu.datasets.folders import in_folder
from sparsecpu.datasets.named import OPENML
from sparsecpu.datasets.samples import Rows, read_rows
from sparsecpu.errors import DataError
from sparsecpu.experiments.known_data import mark_of
from sparsecpu.experiments.pixels import check_images
from sparsecpu.experiments.text_parts import is_for_text, text_part
from sparsecpu.experiments.trained_models import layout_of, matched_targets

#: What is said where the held-out part of data is taken that a model was trained on.
HELD_OUT = "what was held out of training is taken (--part all for every sample)"
_AT_ONCE = 4096


@dataclass(frozen=True)
class Part:
    """Samples of some data and their targets as a model counts them, None if nobody asked for them.

    ``name`` is train, test or all; samples that the model has never seen are "test", though they be
    all of a file. ``notes`` are what the user should know.
    """

    x: Any
    y: Any
    name: str
    notes: tuple[str, ...] = ()


def part_to_score(
    network: Any, facts: dict[str, Any], data: str, part: str | None, reading: dict[str, Any]
) -> Part:
    """Return the samples of ``data`` to score a model on.

    Unless ``part`` says otherwise these are the held-out ones of the data that it was trained on,
    those for testing where the data says which they are, and else all of them. ``reading`` are
    arguments of ``open_data``. Raises ``DataError`` if the data does not fit the model.
    """
    if is_for_text(facts, data):
        return Part(*text_part(network, facts, data, part, reading))
    model = _Model(network, facts, reading)
    return model.of_file(data, part) if _is_single(data) else model.of_dataset(data, part)


def _is_single(data: str) -> bool:
    """Return True for a file that holds all of its data, unlike one of MNIST's four."""
    return Path(data).is_file() and in_folder(data) is None


def part_to_predict(
    network: Any, facts: dict[str, Any], data: str, part: str | None, reading: dict[str, Any]
) -> Part:
    """Return the samples of ``data`` to predict; see ``part_to_score``.

    Unless ``part`` says otherwise these are all of a file or folder, in its order; but if it says
    which are for testing, those. A file needs no targets then.
    """
    model, path = _Model(network, facts, reading), Path(data)
    if part in (None, "all") and _is_single(data):
        rows = model.rows(data, part or "test", scored=False)
        return Part(rows.x, None, part or "test", rows.notes)
    if part is None and path.is_dir():
        return model.of_dataset(data, None, cut=False)
    return model.of_file(data, part) if _is_single(data) else model.of_dataset(data, part)


class _Model:
    """A network and what it knows of its data; and how the user wants data to be read."""

    def __init__(self, network: Any, facts: dict[str, Any], reading: dict[str, Any]) -> None:
        self.network, self.facts, self.reading = network, facts, reading
        if reading["task"] not in ("auto", facts["task"]):
            raise DataError(f"task is {reading['task']!r}; the model is for {facts['task']}")

    def rows(self, data: str, part: str, *, scored: bool) -> Rows:
        """Return the samples of a file."""
        layout, own = layout_of(self.network, self.facts), ("task", "samples")
        if (count := self.reading.get("samples")) is not None:
            raise DataError(f"samples is {count}; {data} is a file, whose samples are there")
        given = {name: value for name, value in self.reading.items() if name not in own}
        rows = read_rows(data, layout, part=part, scored=scored, **given)
        self._check_images(data, rows.x, rows.shape, layout.columns)
        return rows

    def _check_images(self, data: str, x: Any, shape: tuple[int, ...], columns: Any) -> None:
        given = shape or x.shape[1:]
        check_images("the model", self.network.input_shape, data, x, given, columns)

    def targets(self, y: np.ndarray, data: str) -> np.ndarray:
        """Return targets as the model counts them."""
        return matched_targets(y, self.network, self.facts, data)

    def trained_on(self, data: str, x: Any, y: np.ndarray, rows: np.ndarray | None = None) -> bool:
        """Return True if these samples, or some ``rows`` of them, are all it was trained on."""
        known = self.facts.get("training_data")
        if known is None:  # an older model, which knows a name, and no part
            return rows is not None and abspath(self.facts.get("data", "")) == abspath(data)
        count = len(y) if rows is None else len(rows)
        return count == known["samples"] and mark_of(x, y, rows) == known["mark"]

    def of_file(self, data: str, part: str | None) -> Part:
        """Return samples of a file, and their targets."""
        rows = self.rows(data, part or "test", scored=True)
        x, y = rows.x, self.targets(np.asarray(rows.y), data)
        if rows.own_parts:
            return Part(x, y, part or "test", rows.notes)
        cut, held = part in ("train", "test"), None
        if cut or len(y) >= 5:
            held = held_out(data, y, self.facts["task"])
        known = held is not None and self.trained_on(data, x, y, np.flatnonzero(~held))
        part = part or ("test" if known else "all")
        if held is not None and part != "all":
            chosen = np.flatnonzero(held if part == "test" else ~held)
            why = _why(data, part, asked=cut, known=known)
            return Part(x[chosen], y[chosen], part, (*rows.notes, *why))
        if not known and self.trained_on(data, x, y):
            note = f"the model was trained on all samples of {data}"
            return Part(x, y, "train", (*rows.notes, note))
        notes = rows.notes
        if not known and abspath(self.facts.get("data", "")) == abspath(data):
            notes = (*notes, f"{data} is not as it was when the model was trained on it")
        return Part(x, y, "all" if known else "test", notes)

    def of_dataset(self, data: str, part: str | None, *, cut: bool = True) -> Part:
        """Return samples of data that has a name or is a folder, and their targets.

        If ``cut`` is false a folder is not cut into parts, unless it says itself where they are.
        """
        dataset = open_data(data, **self.reading)
        self._check(dataset, data)
        columns = self._columns(dataset, data)
        seen, notes = True, tuple[str, ...]()  # what is for training was, as far as we know
        if not dataset.own_test and (Path(data).exists() or data.startswith(OPENML)):
            y = self.targets(_labels(dataset, "train"), data)
            seen = self.trained_on(data, dataset.x_train, y, np.arange(len(y)))
            asked, part = part is not None, part or ("test" if seen and cut else "all")
            notes = _why(data, part, asked=asked, known=seen)
        part = part or "test"
        names = ("train", "test") if part == "all" else (part,)
        x = _joined([getattr(dataset, f"x_{name}") for name in names])
        x = x if columns is None else x[:, columns]
        y = self.targets(np.concatenate([_labels(dataset, name) for name in names]), data)
        if part == "all" and dataset.held is not None:
            order = np.argsort(np.argsort(dataset.held, kind="stable"))
            x, y = x[order], y[order]
        return Part(x, y, part if seen or part != "all" else "test", notes)

    def _check(self, dataset: Any, data: str) -> None:
        task, features = self.facts["task"], math.prod(self.network.input_shape)
        if dataset.task != task:
            raise DataError(f"{data} is for {dataset.task}; the model is for {task}")
        there = dataset.x_test.shape[1]
        if there != features:
            raise DataError(f"{data} has {there} features; the model expects {features}")
        self._check_images(data, dataset.x_test, dataset.input_shape, dataset.columns)

    def _columns(self, dataset: Any, data: str) -> np.ndarray | None:
        """Return where each of the model's features is in the data; None if they need no look."""
        known = layout_of(self.network, self.facts).columns
        if known is None or dataset.columns is None:
            return None
        there = list(dataset.columns.feature_names)
        lacking = [name for name in known.feature_names if name not in there]
        if lacking and known.header:
            raise DataError(f"{data} has no feature {lacking[0]!r}, which the model expects")
        return None if lacking else np.array([there.index(name) for name in known.feature_names])


def _why(data: str, part: str, *, asked: bool, known: bool) -> tuple[str, ...]:
    """Return what to say of a part of data that says of no sample what it is for."""
    if part == "all" or (asked and known):
        return ()
    if not asked:
        return (f"{data} was trained on; {HELD_OUT}",)
    does = "train on" if part == "train" else "hold out"
    return (f"the model was not trained on {data}; these are what a run on it would {does}",)


def _labels(dataset: Any, part: str) -> np.ndarray:
    """Return labels or quantities of a part of a data set."""
    y = getattr(dataset, f"y_{part}")
    return y if dataset.classes is None else dataset.classes[y]


def _joined(parts: list[Any]) -> Any:
    """Return samples behind one another; those that are made when they are needed are made now."""
    if len(parts) == 1:
        return parts[0]
    if hasattr(parts[0], "tocsr"):
        from scipy.sparse import vstack

        return vstack(parts, format="csr")
    return np.concatenate([piece for x in parts for piece in _pieces(x)])


def _pieces(x: Any) -> Iterator[np.ndarray]:
    if not hasattr(x, "take_samples"):
        yield x
        return
    for rows in np.array_split(np.arange(x.shape[0]), x.shape[0] // _AT_ONCE + 1):
        array, at = x.take_samples(rows)
        yield array[at]
