"""Folders of IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.labels import given_split
from sparsecpu.errors import DataError
from sparsecpu.reading.archive import MOST_DEFLATED, fill
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.reading.memory import check_memory

_IDX_PARTS = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def read_idx(folder: Path | str) -> Dataset:
    """Read a folder with the four IDX files of MNIST or Fashion-MNIST, plain or gzipped.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte[.gz]`` and its three companions.

    Raises
    ------
    DataError
        If a file is missing, truncated or of another format.
    """
    folder = Path(folder)
    files = [
        (_Idx(_find(folder, images), 3), _Idx(_find(folder, labels), 1))
        for images, labels in _IDX_PARTS
    ]
    for images, labels in files:  # what the headers say, before anything else is read
        if images.shape[:1] != labels.shape or 0 in images.shape:
            raise DataError(f"{folder}: images {images.shape} and labels {labels.shape}")
    sizes = sum(math.prod(file.shape) for pair in files for file in pair)
    check_memory(sizes, f"{folder}", DataError)
    parts = [(images.read(), labels.read().astype(np.int64)) for images, labels in files]
    (x, y), (x_test, y_test) = ((x.reshape(len(x), -1), y) for x, y in parts)
    shape = (1, *files[0][0].shape[1:])
    return given_split(folder.name, x, y, x_test, y_test, "classification", shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / name.replace("-idx", ".idx"), folder / f"{name}.gz"):
        if path.exists():
            return path
    raise DataError(f"{folder} has no {name} or {name}.gz")


class _Idx:
    """An IDX file of bytes: the shape that its header says, and the bytes behind it."""

    def __init__(self, path: Path, dimensions: int) -> None:
        self.path, self._start = path, 4 + 4 * dimensions
        with refusing(path, DataError, "an IDX file"), open_regular(path) as raw:
            head = self._unpacked(raw).read(self._start)
            if len(head) < self._start or head[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{path} is not an IDX file of bytes in {dimensions} dimension(s)")
            self.shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", head[4:])
            claimed, there = self._start + math.prod(self.shape), file_size(raw)
            fits = claimed <= MOST_DEFLATED * there if self._packed else claimed == there
        if not fits:
            raise self._wrong_size()

    @property
    def _packed(self) -> bool:
        return self.path.suffix == ".gz"

    def _unpacked(self, raw: BinaryIO) -> BinaryIO:
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self._packed else raw

    def read(self) -> np.ndarray:
        """Return the bytes behind the header, in the shape that it says."""
        values = np.empty(math.prod(self.shape), dtype=np.uint8)
        with refusing(self.path, DataError, "an IDX file"), open_regular(self.path) as raw:
            file = self._unpacked(raw)
            file.read(self._start)
            if not fill(file, values) or file.read(1):
                raise self._wrong_size()
        return values.reshape(self.shape)

    def _wrong_size(self) -> DataError:
        size = math.prod(self.shape)
        return DataError(f"{self.path} does not hold the {size} bytes that its header claims")
