"""Folders of IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.labels import given_split
from sparsecpu.errors import DataError

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
    parts = []
    for images_name, labels_name in _IDX_PARTS:
        images, labels = _idx(folder, images_name, 3), _idx(folder, labels_name, 1)
        if len(images) != len(labels) or len(images) == 0:
            raise DataError(f"{folder}: {len(images)} images and {len(labels)} labels")
        parts.append((images.reshape(len(images), -1), labels.astype(np.int64), images.shape[1:]))
    (x, y, shape), (x_test, y_test, _) = parts
    return given_split(folder.name, x, y, x_test, y_test, "classification", (1, *shape))


def _idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """Read an IDX file of bytes, after checking its header."""
    for path in (folder / name, folder / name.replace("-idx", ".idx"), folder / f"{name}.gz"):
        if path.is_file():
            break
    else:
        raise DataError(f"{folder} has no {name} or {name}.gz")
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{path} is not an IDX file of bytes in {dimensions} dimension(s)")
            shape = struct.unpack(f">{dimensions}I", head[4:])
            size = math.prod(shape)
            # Read in pieces: memory grows with the bytes that are there, not with a false claim.
            pieces, missing = [], size
            while missing and (piece := file.read(min(missing, 1 << 24))):
                pieces.append(piece)
                missing -= len(piece)
            if missing or file.read(1):
                raise DataError(f"{path} does not hold the {size} bytes that its header claims")
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{path} cannot be read: {error}") from error
    return np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(shape)
