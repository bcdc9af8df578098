"""What a folder holds, or a file that is part of one; and what to use where it holds no data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.cifar import is_cifar, read_cifar
from sparsecpu.datasets.idx import is_idx, read_idx
from sparsecpu.datasets.image_folder import is_image, is_image_folder, read_images
from sparsecpu.errors import DataError
from sparsecpu.reading.files import refusing

#: CIFAR's files that Python pickled, of CIFAR-10 and of CIFAR-100, whose names are not their own;
#: whether any of them or all must be there.
_PICKLES: dict[str, tuple[Callable[[Iterable[bool]], bool], tuple[str, ...]]] = {
    "10": (any, ("test_batch", *(f"data_batch_{n}" for n in range(1, 6)))),
    "100": (all, ("train", "test", "meta")),
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".7z", ".rar", ".xz", ".bz2")
_TABLES = (".csv", ".tsv", ".txt", ".data", ".npz", ".svm", ".svmlight", ".libsvm", ".csv.gz")


def in_folder(name: str) -> tuple[Path, str] | None:
    """Return the folder, or file of one, that a name stands for, and which of its sets is chosen.

    ``emnist:letters`` is the set ``letters`` in the folder ``emnist``. None if it is another file.
    """
    path, (before, _, chosen) = Path(name), name.rpartition(":")
    if name and path.is_dir():
        return path, ""
    if before and chosen and not path.exists() and Path(before).is_dir():
        return Path(before), chosen
    known = is_idx(path) or is_cifar(path) or _pickled_kind(path)
    return (path, "") if path.exists() and known else None


def read_folder(path: Path, chosen: str = "") -> Dataset:
    """Read what a folder holds: files of CIFAR's or of MNIST's kind, or images by class.

    ``path`` may also be one of the former files; ``chosen`` is one of several sets of MNIST's kind.
    Raises ``DataError`` that says what the folder is, and what to use, where it holds no data.
    """
    if is_cifar(path) and not chosen:
        return read_cifar(path)
    if chosen or is_idx(path):
        return read_idx(path, chosen)
    if kind := _pickled_kind(path):
        raise DataError(f"{path} holds {_binary_version(kind)}")
    if is_image_folder(path):
        return read_images(path)
    raise DataError(f"{path} {_description(path)}")


def _description(folder: Path) -> str:
    """Return what a folder without data is, and what to use instead."""
    with refusing(folder, DataError, "a folder"):
        inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    found = [place for entry in inside for place in (entry, entry / "raw")
             if place.is_dir() and (is_cifar(place) or is_idx(place))]  # fmt: skip
    if found:
        whose = "is a folder of torchvision's" if found[0].name == "raw" else "holds other folders"
        return f"{whose}; name the one with the files: {' or '.join(map(str, found))}"
    for entry in inside:
        if kind := _pickled_kind(entry):
            return f"has a folder {entry.name} with {_binary_version(kind)}"
    for entry in inside:
        if entry.name in ("model.npz", "checkpoint.npz"):
            return "is the folder of a run; expected data"
        if entry.name.endswith(_TABLES):
            return f"is a folder; name the file in it, such as {entry}"
        if entry.name.endswith(_ARCHIVES):
            return (
                f"holds the archive {entry.name}; unpack it, and name the folder that comes of it"
            )
    if images := [entry.name for entry in inside if is_image(entry)]:
        return f"holds images such as {images[0]}; expected a folder of them for each class"
    expected = "IDX files, CIFAR's binary files, or a folder of PNG or JPEG images for each class"
    return f"holds no data that is known; expected {expected}"


def _pickled_kind(path: Path) -> str:
    """Return "10" or "100" for Python pickles of CIFAR: a folder, an archive, one file."""
    if (found := re.fullmatch(r"cifar-(10+)-python\.t(ar\.)?gz", path.name)) is not None:
        return found[1]
    folder = path if path.is_dir() else path.parent
    for kind, (enough, names) in _PICKLES.items():
        there = enough((folder / name).is_file() for name in names)
        if there and (path == folder or path.name in names):
            return kind
    return ""


def _binary_version(kind: str) -> str:
    """Return what CIFAR's Python pickles are, and where to find the same images otherwise."""
    folder = {"10": "cifar-10-batches-bin", "100": "cifar-100-binary"}[kind]
    return (
        f"CIFAR-{kind} as Python pickles, which are never loaded: they can run any program; "
        f"unpack the binary version (cifar-{kind}-binary.tar.gz) and name its folder {folder}"
    )
