"""What a folder holds, or a file that is part of one; and what to use where it holds no data."""

from __future__ import annotations

from pathlib import Path

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.cifar import is_cifar, read_cifar
from sparsecpu.datasets.idx import is_idx, read_idx
from sparsecpu.datasets.image_folder import is_image, is_image_folder, read_images
from sparsecpu.errors import DataError
from sparsecpu.reading.files import open_regular, refusing

#: What Python's pickles begin with: a byte, and the number of a protocol.
_PICKLE = 0x80
_PROTOCOLS = (2, 3, 4, 5)
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
    return (path, "") if path.exists() and (is_idx(path) or is_cifar(path)) else None


def read_folder(path: Path, chosen: str = "") -> Dataset:
    """Read what a folder holds: files of CIFAR's or of MNIST's kind, or images by class.

    ``path`` may also be one of the former files; ``chosen`` is one of several sets of MNIST's kind.
    Raises ``DataError`` that says what the folder is, and what to use, where it holds no data.
    """
    if is_cifar(path) and not chosen:
        return read_cifar(path)
    if is_idx(path) or chosen:
        return read_idx(path, chosen)
    if is_image_folder(path):
        return read_images(path)
    raise DataError(f"{path} {_description(path)}")


def _description(folder: Path) -> str:
    """Return what a folder without data is, and what to use instead."""
    with refusing(folder, DataError, "a folder"):
        inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if kind := _pickled_kind(folder):
        return f"holds {_binary_version(kind)}"
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


def _pickled_kind(folder: Path) -> str:
    """Return "10" or "100" for a folder with CIFAR's Python pickles, else nothing."""
    if (folder / "data_batch_1").is_file():
        return "10"
    return "100" if all((folder / name).is_file() for name in ("train", "test", "meta")) else ""


def _binary_version(kind: str) -> str:
    """Return what CIFAR's Python pickles are, and where to find the same images otherwise."""
    folder = {"10": "cifar-10-batches-bin", "100": "cifar-100-binary"}[kind]
    return (
        f"CIFAR-{kind} as Python pickles, which are never loaded: they can run any program; "
        f"unpack the binary version (cifar-{kind}-binary.tar.gz) and name its folder {folder}"
    )


def describe_file(path: Path) -> str:
    """Return what a file without data is, and what to use instead; nothing if that is unknown."""
    with refusing(path, DataError, "data"), open_regular(path) as file:
        start = file.read(2)
    name = path.name.lower()
    if len(start) == 2 and start[0] == _PICKLE and start[1] in _PROTOCOLS:
        kind = _pickled_kind(path.parent)
        return (
            f"is of {_binary_version(kind)}"
            if kind
            else "is a Python pickle, which is never loaded"
        )
    if name.startswith("cifar-") and "python" in name:
        return f"is {_binary_version('100' if '100' in name else '10')}"
    if name.endswith(_ARCHIVES):
        return "is an archive; unpack it, and name what comes of it"
    if is_image(path):
        return "is an image; name a folder that has a folder of images for each class"
    return ""
