"""Data sets: ``load_`` bundled ones, ``read_`` your files, ``make_`` generated ones."""

from __future__ import annotations

if __name__ == "datasets":  # a bare name, which may be meant for somebody else's package
    raise ModuleNotFoundError("import sparsecpu.datasets", name="datasets")

from collections.abc import Collection, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from sparsecpu.datasets.arrays import read_npz
from sparsecpu.datasets.base import SCALINGS, TASKS, Dataset
from sparsecpu.datasets.bundled import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sparsecpu.datasets.cifar import read_cifar
from sparsecpu.datasets.columns import Columns
from sparsecpu.datasets.digits28 import load_digits28
from sparsecpu.datasets.folders import in_folder, read_folder
from sparsecpu.datasets.formats import file_format
from sparsecpu.datasets.generated import make_classification, make_regression
from sparsecpu.datasets.idx import read_idx
from sparsecpu.datasets.image_folder import read_images
from sparsecpu.datasets.labels import class_numbers
from sparsecpu.datasets.named import (
    is_named,
    load_cifar10,
    load_fashion_mnist,
    load_mnist,
    open_named,
)
from sparsecpu.datasets.names import BUNDLED, GENERATED, data_name, expected_data
from sparsecpu.datasets.openml import fetch_openml
from sparsecpu.datasets.samples import read_samples
from sparsecpu.datasets.shapes import make_shapes
from sparsecpu.datasets.svmlight import read_svmlight
from sparsecpu.datasets.tables import read_csv
from sparsecpu.datasets.text import TextDataset, is_text, open_text
from sparsecpu.datasets.wide import make_wide
from sparsecpu.errors import DataError, brief
from sparsecpu.registries.names import expected_name, find_name

__all__ = [
    "Columns",
    "Dataset",
    "TextDataset",
    "class_numbers",
    "fetch_openml",
    "load_breast_cancer",
    "load_cifar10",
    "load_diabetes",
    "load_digits",
    "load_digits28",
    "load_fashion_mnist",
    "load_iris",
    "load_mnist",
    "load_wine",
    "make_classification",
    "make_regression",
    "make_shapes",
    "make_wide",
    "open_data",
    "read_cifar",
    "read_csv",
    "read_idx",
    "read_images",
    "read_npz",
    "read_samples",
    "read_svmlight",
]


def open_data(
    name: str | PathLike[str],
    *,
    samples: int | None = None,
    target: str | None = None,
    task: str = "auto",
    format: str = "auto",
    zero_based: bool | None = None,
    missing: Sequence[str] | None = None,
    drop_missing: bool = False,
    header: bool | None = None,
    categorical: str | Sequence[str] | None = None,
    scaling: str = "auto",
) -> Dataset:
    """Return the data set that a name, a file or a folder stands for.

    Parameters
    ----------
    name : str or path
        A bundled name (``digits``), a generated one (``digits28``, ``make:…``), images that are
        found in a usual place or fetched (``fashion-mnist``, ``mnist``, ``cifar10``), a table of
        OpenML (``openml:NAME``, ``openml:NAME@VERSION`` or ``openml:NUMBER``), a table, an
        ``.npz`` or a svmlight file of any name, or a folder: of IDX files (``folder:letters`` for
        one of several sets), of CIFAR's binary ones, or with a folder of PNG or JPEG images for
        each class. Text for language models is ``text:FILE``, ``text:FOLDER`` or ``text:python``,
        the standard library of the running interpreter; ``text:FILE:tokens=bytes`` reads bytes in
        place of characters, ``tokens=bpe,vocabulary=4096`` byte pairs, and ``step=16`` lets a
        window of tokens begin at every sixteenth.
    samples : int, optional
        How many samples to generate, of data that is generated.
    target : str, optional
        Column of a table to predict.
    task : {"auto", "classification", "regression"}
        What is to be learnt from a file; guessed from the targets by default.
    format : {"auto", "csv", "npz", "svmlight"}
        What a file is; by default what is in it tells, and its name where that leaves it open.
    zero_based : bool, optional
        Whether a svmlight file counts features from 0 or from 1; by default it is 0 if there is a
        feature 0.
    missing, drop_missing, header, categorical : sequence of str, bool, bool, str or sequence of str
        How a table is to be read; see ``read_csv``.
    scaling : {"auto", "feature", "channel", "global", "none"}
        How to standardise the inputs; by default as is usual for such data.

    Raises
    ------
    DataError
        If there is no such data, or it cannot be used.
    """
    if not isinstance(name, str | PathLike):
        raise DataError(f"data is {brief(name)}; expected a name or a path")
    name = data_name(fspath(name))
    task, scaling = (
        _one_of(option, value, names)
        for option, value, names in (("task", task, TASKS), ("scaling", scaling, SCALINGS))
    )
    if is_text(name) and scaling != "auto":
        raise DataError(f"scaling is {scaling!r}; {name} is text, which has no scale")
    read: dict[str, Any] = {
        "target": target, "task": task, "format": format, "zero_based": zero_based,
    }  # fmt: skip
    style = {"missing": missing, "header": header, "categorical": categorical}
    read |= {name: value for name, value in style.items() if value is not None}
    if drop_missing:
        read["drop_missing"] = True
    dataset = _found(name, samples, **read)
    if task not in ("auto", dataset.task):
        raise DataError(f"task is {task!r}; {name} is for {dataset.task}")
    return dataset if scaling == "auto" else replace(dataset, scaling=scaling)


def _found(name: str, samples: int | None, **options: Any) -> Dataset:
    """Return the data set of a name; ``options`` are for files."""
    if is_text(name):
        return open_text(name, samples=samples, **options)
    if is_named(name):
        return open_named(name, samples=samples, **options)
    path, known = Path(name), name in (*GENERATED, *BUNDLED)
    place = None if known else in_folder(name)
    if known or place is not None or (path.exists() and not path.is_file()):
        for option, value in options.items():
            if value not in (None, "auto") and option != "task":
                raise DataError(f"{option} is {value!r}; {name!r} is no file that it could be for")
    if name in GENERATED:
        return GENERATED[name](samples)
    if samples is not None:
        raise DataError(f"samples is {samples}; only {', '.join(GENERATED)} can be of any size")
    if name in BUNDLED:
        return BUNDLED[name]()
    if place is not None:
        return read_folder(*place)
    if not name or not path.exists():
        raise DataError(f"DATA is {name!r}; expected a file, a folder, or {expected_data(path)}")
    return _opened(path, **options)


def _one_of(option: str, value: Any, names: Collection[str]) -> str:
    """Return the name that an option's value stands for, or auto."""
    found = find_name(value, ("auto", *names))
    if found is None:
        raise DataError(f"{option} is {value!r}; expected {expected_name(value, ('auto', *names))}")
    return found


def _opened(
    path: Path, target: str | None, task: str, format: str, zero_based: bool | None, **style: Any
) -> Dataset:
    """Return the data set in a file; ``style`` says how a table is written."""
    kind = file_format(path, format, target=target, zero_based=zero_based, **style)
    if kind == "npz":
        return read_npz(path, task=task)
    if kind == "svmlight":
        return read_svmlight(path, task=task, zero_based=zero_based)
    return read_csv(path, target=target, task=task, **style)
