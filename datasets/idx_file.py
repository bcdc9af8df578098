"""One IDX file: a shape, and numbers behind it."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from sparsecpu.errors import DataError
from sparsecpu.reading.archive import MOST_DEFLATED, fill
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.reading.packed import is_packed, open_unpacked

#: Types of numbers by the third byte of a file.
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
#: Columns of QMNIST's labels: the class, and seven more that say who wrote the digit.
_QMNIST = 8


class IdxFile:
    """An IDX file, packed by gzip or not: what its header says, and the numbers behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with refusing(path, DataError, "an IDX file"):
            with open_unpacked(path) as file:
                head = file.read(4)
                if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
                    raise DataError(f"{path} is not an IDX file (it does not begin like one)")
                self.dtype, dimensions = np.dtype(_TYPES[head[2]]), head[3]
                sizes = file.read(4 * dimensions)
                if len(sizes) < 4 * dimensions:
                    raise self._wrong_size()
            self.shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", sizes)
            self._start = 4 + 4 * dimensions
            self._check_size()

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize

    def _check_size(self) -> None:
        claimed = self._start + self.nbytes
        with open_regular(self.path) as raw:
            there, packed = file_size(raw), is_packed(raw)
        if claimed > MOST_DEFLATED * there if packed else claimed != there:
            raise self._wrong_size()

    def _read(self) -> np.ndarray:
        values = np.empty(self.nbytes, dtype=np.uint8)
        with refusing(self.path, DataError, "an IDX file"), open_unpacked(self.path) as file:
            file.read(self._start)
            if not fill(file, values) or file.read(1):
                raise self._wrong_size()
        return values.view(self.dtype).reshape(self.shape)

    def _wrong_size(self) -> DataError:
        return DataError(f"{self.path} does not hold as many bytes as its header claims")


class IdxImages(IdxFile):
    """Images: bytes in three dimensions."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if self.dtype != np.uint8 or len(self.shape) != 3 or 0 in self.shape:
            found = f"{self.dtype.name} of shape {self.shape}"
            raise DataError(f"{path} holds {found}; expected bytes (images, height, width)")

    @property
    def needed(self) -> int:
        """Bytes of the array that ``read`` returns."""
        return self.nbytes

    def read(self) -> np.ndarray:
        """Return the pixels, uint8 of shape (images, pixels)."""
        return self._read().reshape(self.shape[0], -1)


class IdxLabels(IdxFile):
    """Classes of images: integers, one for each or, as QMNIST has them, the first of eight."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        columns = self.shape[1:]
        good = columns in ((), (1,)) or (columns == (_QMNIST,) and self.dtype.itemsize == 4)
        if self.dtype.kind not in "iu" or not good:
            found = f"{self.dtype.name} of shape {self.shape}"
            expected = "an integer for each image, or eight of 32 bits as QMNIST has"
            raise DataError(f"{path} holds {found}; expected {expected}")

    @property
    def needed(self) -> int:
        """Bytes that ``read`` needs: for the numbers of the file, and for the classes."""
        return self.nbytes + 8 * self.shape[0]

    def read(self) -> np.ndarray:
        """Return the class of each image, int64."""
        return self._read().reshape(self.shape[0], -1)[:, 0].astype(np.int64)
