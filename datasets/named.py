"""Data sets by name: found in the usual places, else fetched from OpenML."""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.cifar import is_cifar
from sparsecpu.datasets.fetching import UnreachableError, fetch, home
from sparsecpu.datasets.folders import read_folder
from sparsecpu.datasets.idx import is_idx
from sparsecpu.datasets.image_folder import is_image_folder
from sparsecpu.datasets.image_sets import (
    CIFAR10,
    FASHION_MNIST,
    IMAGE_SETS,
    MNIST,
    ImageSet,
    is_published,
    keep,
)
from sparsecpu.datasets.labels import given_split
from sparsecpu.datasets.openml import fetch_openml
from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.memory import check_memory

#: How names of OpenML's tables begin.
OPENML = "openml:"
#: Names the folders, with colons between (semicolons on Windows), that are looked into first.
VARIABLE = "SPARSECPU_DATA"
#: Folders that are looked into after those: torchvision's usual one, and Debian's.
_ROOTS = ("data", ".", "/usr/local/share/datasets", "/usr/share/datasets")
#: Images that are looked at together.
_AT_ONCE = 10_000


def is_named(name: str) -> bool:
    """Return True for a name of images or of a table of OpenML; a file of that name counts more."""
    return name.startswith(OPENML) or (name in IMAGE_SETS and not Path(name).is_file())


def open_named(
    name: str,
    *,
    target: str | None = None,
    task: str = "auto",
    drop_missing: bool = False,
    **others: Any,
) -> Dataset:
    """Return the data set of a name.

    A folder of that name counts more, if there are images in it. ``others`` are options of
    ``open_data`` that are of no use for names, refused unless they say nothing.
    """
    is_table = name.startswith(OPENML)
    unused = others if is_table else {**others, "target": target, "drop_missing": drop_missing}
    for option, value in unused.items():
        if value not in (None, "auto", False) and value not in ((), []):
            raise DataError(f"{option} is {value!r}; {name!r} is no file that it could be for")
    if is_table:
        number = name.removeprefix(OPENML)
        return fetch_openml(number, target=target, task=task, drop_missing=drop_missing)
    known, here = IMAGE_SETS[name], Path(name)
    if not has_images(here) and not (here.is_dir() and is_image_folder(here)):
        return load_images(known)
    data = read_folder(here)
    if not is_published(known, data):
        _say(f"{_as_folder(here)} is read, the folder here; it is not {known.title} as published")
    return data


def load_fashion_mnist() -> Dataset:
    """Load 70,000 pictures of clothes, 28×28 pixels, in ten classes; 10,000 of them to test on.

    They are looked for in the usual places (see ``open_data``), and fetched from OpenML else.
    Xiao, Rasul and Vollgraf, Fashion-MNIST (2017); MIT licence.
    """
    return load_images(FASHION_MNIST)


def load_mnist() -> Dataset:
    """Load 70,000 handwritten digits, 28×28 pixels; 10,000 of them to test on.

    They are looked for in the usual places (see ``open_data``), and fetched from OpenML else.
    LeCun, Cortes and Burges, The MNIST database (1998).
    """
    return load_images(MNIST)


def load_cifar10() -> Dataset:
    """Load 60,000 colour pictures, 32×32 pixels, in ten classes; 10,000 of them to test on.

    They are looked for in the usual places (see ``open_data``), and fetched from OpenML else.
    Krizhevsky, Learning multiple layers of features from tiny images (2009).
    """
    return load_images(CIFAR10)


def load_images(known: ImageSet) -> Dataset:
    """Return an image data set from the first place that has it, else from OpenML.

    Raises ``DataError`` if the files in that place are not those that were published.
    """
    for folder in places(known):
        if has_images(folder):
            data = read_folder(folder)
            if not is_published(known, data):
                raise DataError(
                    f"{folder} does not hold {known.title} as it was published; to use it as it "
                    f"is, give the folder instead of the name: {_as_folder(folder)}"
                )
            return replace(data, name=known.name)
    return _kept(known) or _from_openml(known)


def _kept(known: ImageSet) -> Dataset | None:
    """Return what was fetched before, None if it was not; a copy that is damaged is removed."""
    folder = _copy_of(known)
    if not folder.is_dir():
        return None
    try:
        data = read_folder(folder)
        if is_published(known, data):
            return replace(data, name=known.name)
    except DataError:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _copy_of(known: ImageSet) -> Path:
    return home() / "sparsecpu" / known.name


def places(known: ImageSet) -> Iterator[Path]:
    """Yield the folders that an image data set may be in, the first that counts first."""
    for said in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if not Path(said).is_dir():
            raise DataError(f"{VARIABLE} is {said!r}, which is no folder")
        yield from (Path(said, folder) for folder in known.folders)
    yield from (Path(root, folder) for root in _ROOTS for folder in known.folders)


def has_images(folder: Path) -> bool:
    """Return True if a folder holds files of MNIST's or CIFAR's kind."""
    return folder.is_dir() and (is_cifar(folder) or is_idx(folder))


def _as_folder(folder: Path) -> str:
    """Return a folder as nobody can take it for a name."""
    return str(folder) if len(folder.parts) > 1 else os.path.join(".", folder)


def _from_openml(known: ImageSet) -> Dataset:
    """Return an image data set as OpenML has it, cut into the usual parts."""
    quick = importlib.util.find_spec("pandas") is not None
    check_memory(
        known.images * known.pixels * (12 if quick else 17), f"reading {known.name}", DataError
    )
    options: dict[str, Any] = {"parser": "liac-arff"}
    if quick:  # four times as fast; left to itself, it may take labels for what they are not
        kinds = dict.fromkeys(range(known.pixels), "float32")
        options = {"parser": "pandas", "read_csv_kwargs": {"dtype": kinds}}
    try:
        found = fetch(known.openml, known.name, target_column="class", **options)
    except UnreachableError as error:
        raise DataError(_how_to_get(known)) from error
    x, y = _checked(known, found.data, found.target)
    del found
    return _cut(known, x, y)


def _how_to_get(known: ImageSet) -> str:
    folder = known.folders[0]
    return (
        f"{known.name} is in none of the usual places, and openml.org cannot be reached; put "
        f"{', '.join(known.files)} into data{os.sep}{folder}, or into {folder} in a folder that "
        f"{VARIABLE} names; {known.advice}"
    )


def _checked(known: ImageSet, data: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return OpenML's table as pixels, uint8, and labels, if it is what it should be."""
    classes = len(known.test_counts)
    try:
        y = np.asarray(target).astype(np.float64)
        good = data.shape == (known.images, known.pixels) and len(y) == known.images
        good = good and bool(np.isin(y, np.arange(classes)).all())
        with np.errstate(invalid="ignore"):
            x = data.astype(np.uint8) if good else np.empty(0, np.uint8)
        good = good and all(
            np.array_equal(x[start : start + _AT_ONCE], data[start : start + _AT_ONCE])
            for start in range(0, known.images, _AT_ONCE)
        )
    except (TypeError, ValueError):
        good = False
    if not good:
        expected = f"{known.images:,} images of {known.pixels:,} bytes and {classes} classes"
        raise DataError(f"openml:{known.openml} is not {known.title} any more; expected {expected}")
    return x, y.astype(np.int64)


def _cut(known: ImageSet, x: np.ndarray, y: np.ndarray) -> Dataset:
    """Cut images into the usual training and test part, if they are in the usual order."""
    scaling, at = "channel" if known.shape[0] == 3 else "global", known.train
    parts = x[:at], y[:at], x[at:], y[at:]
    data = given_split(known.name, *parts, "classification", known.shape)
    data = replace(data, scaling=scaling)
    if is_published(known, data):
        keep(known, data, _copy_of(known))
        return data
    if known.shape[0] == 3 and _is_interleaved(x):
        raise DataError(f"openml:{known.openml} has its colours pixel by pixel; {known.advice}")
    where = f"{known.name}, as openml:{known.openml} has it,"
    if tuple(np.bincount(y[at:], minlength=len(known.test_counts))) == known.test_counts:
        _say(f"{where} has other pixels than were published; its last images are for testing")
        return data
    _say(f"{where} is not in the usual order; a fifth of it is held out for testing")
    return split(known.name, x, y, "classification", input_shape=known.shape, scaling=scaling)


def _is_interleaved(x: np.ndarray) -> bool:
    """Return True if numbers are more like the third next one than like the next one."""
    some = x[:1000].astype(np.int16)
    near, far = (np.abs(some[:, step:] - some[:, :-step]).mean() for step in (1, 3))
    return bool(far < near)


def _say(note: str) -> None:
    warnings.warn(note, DataWarning, stacklevel=2)
