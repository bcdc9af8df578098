"""Folders of IDX files, the format of MNIST and of those made after it."""

from __future__ import annotations

import re
from pathlib import Path

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.idx_file import IdxImages, IdxLabels
from sparsecpu.datasets.labels import given_split
from sparsecpu.errors import DataError
from sparsecpu.reading.files import refusing
from sparsecpu.reading.memory import check_memory

#: ``train-images-idx3-ubyte``, ``emnist-letters-test-labels-idx1-ubyte.gz`` and their like.
_NAME = re.compile(
    r"(?P<of>.*?)[-_.]?(?P<part>train|t10k|test)[-_.](?P<what>images|labels)"
    r"([-_.]idx\d[-_.]\w+)?(?P<packed>\.gz)?",
    re.IGNORECASE,
)
#: A set's files, by part ("train", "test") and by what they hold ("images", "labels").
Files = dict[tuple[str, str], Path]


def read_idx(folder: Path | str, chosen: str = "") -> Dataset:
    """Read a set of four IDX files, packed by gzip or not: MNIST, Fashion-MNIST, EMNIST, QMNIST.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte`` and its three companions, or ``emnist-letters-train-…``,
        ``qmnist-train-…`` and so on; or one of those files.
    chosen : str
        Which set to read where a folder holds several: ``"letters"`` or ``"emnist-letters"``.

    Raises
    ------
    DataError
        If a file is missing, truncated or of another format, or several sets could be meant.

    Notes
    -----
    Pixels are kept as the files have them: EMNIST's images are transposed there.
    """
    folder, only = Path(folder), None
    if not folder.exists():
        raise DataError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        folder, only = folder.parent, _set_of(folder)
    sets = find_sets(folder)
    name = _choose(folder, sets, chosen) if only is None else only
    (train, labels), (test, test_labels) = (_pair(folder, name, sets[name], p) for p in _TWO)
    if train.shape[1:] != test.shape[1:]:
        shape = train.shape[1:]
        raise DataError(f"{test.path} has images of {test.shape[1:]} pixels; expected {shape}")
    files = (train, labels, test, test_labels)
    check_memory(sum(file.needed for file in files), f"{folder}", DataError)
    x, y, x_test, y_test = (file.read() for file in files)
    shape = (1, *train.shape[1:])
    called = name or folder.absolute().name
    return given_split(called, x, y, x_test, y_test, "classification", shape)


def is_idx(path: Path | str) -> bool:
    """Return True for a folder with a file that is named as MNIST's are, or for such a file."""
    path = Path(path)
    return bool(find_sets(path)) if path.is_dir() else _NAME.fullmatch(path.name) is not None


def find_sets(folder: Path) -> dict[str, Files]:
    """Return the sets of IDX files in a folder by their names; MNIST's own has the name "".

    Of a file that is there packed and unpacked, the unpacked one counts.
    """
    sets: dict[str, Files] = {}
    with refusing(folder, DataError, "a folder"):
        paths = sorted(path for path in folder.iterdir() if not path.is_dir())
    for path in paths:
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        part = "train" if found["part"].lower() == "train" else "test"
        files, place = sets.setdefault(found["of"].lower(), {}), (part, found["what"].lower())
        other = files.get(place)
        if other is not None and _is_packed(other) == _is_packed(path):
            raise DataError(f"{folder} has {other.name} and {path.name}; expected one of the two")
        if other is None or _is_packed(other):
            files[place] = path
    return sets


def _is_packed(path: Path) -> bool:
    """Return True if a file's name says that it is packed, which need not be so."""
    return path.suffix.lower() == ".gz"


def _set_of(path: Path) -> str:
    """Return the name of the set that a file belongs to."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        expected = "a name such as train-images-idx3-ubyte or emnist-letters-test-labels-idx1-ubyte"
        raise DataError(f"{path} has no name that says what it holds; expected {expected}")
    return found["of"].lower()


def _choose(folder: Path, sets: dict[str, Files], chosen: str) -> str:
    """Return the name of the only set in a folder, or of the chosen one."""
    if not sets:
        raise DataError(f"{folder} has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz")
    wanted = chosen.lower()
    close = [name for name in sets if not wanted or name.endswith(f"-{wanted}")]
    if wanted in sets and wanted:
        close = [wanted]
    if len(close) == 1:
        return close[0]
    named = sorted(name for name in sets if name)
    what = f"no set {chosen!r}" if chosen else "several sets of images"
    ways = [f"choose one as in {folder}:{named[0]} ({', '.join(named)})"] if named else []
    if "" in sets:
        ways.append(f"name {next(iter(sets[''].values()))} for the one without a name")
    raise DataError(f"{folder} has {what}; {', or '.join(ways)}")


#: Parts, with the name that MNIST's own files have for them.
_TWO = (("train", "train"), ("test", "t10k"))


def _pair(
    folder: Path, name: str, files: Files, part: tuple[str, str]
) -> tuple[IdxImages, IdxLabels]:
    """Return the images and labels of a part; their headers are read, and fit each other."""
    before = f"{name}-{part[0]}" if name else part[1]
    for what, kind in (("images", "idx3-ubyte"), ("labels", "idx1-ubyte")):
        if (part[0], what) not in files:
            raise DataError(f"{folder} has no {before}-{what}-{kind} or {before}-{what}-{kind}.gz")
    images, labels = IdxImages(files[part[0], "images"]), IdxLabels(files[part[0], "labels"])
    if images.shape[0] != labels.shape[0]:
        found = f"{labels.path.name} has {labels.shape[0]} labels"
        raise DataError(f"{images.path} has {images.shape[0]} images, and {found}")
    return images, labels
