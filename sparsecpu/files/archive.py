"""Arrays and a header in one ``.npz``: never a pickle, never half-written.

The file is a ZIP archive of ``.npy`` members, readable with ``numpy.load(allow_pickle=False)``. The
member ``header`` is JSON. Nothing in the file depends on the time or the machine.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.documents import parse_json
from sparsecpu.files.writing import atomic_write
from sparsecpu.reading.archive import Archive
from sparsecpu.reading.memory import check_memory
from sparsecpu.reading.npy import ArrayHeader
from sparsecpu.step.plain_values import anything, named

#: Array types that we write, and read.
_ALLOWED = ("<f4", "<f8", "<i4", "<i8", "|u1", "|b1")
_TABLE = named(anything)


def write_arrays(path: Path | str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a header and arrays atomically; equal contents give equal bytes."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    members = {"header": np.frombuffer(text, dtype=np.uint8), **arrays}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                array = np.asarray(members[name])
                array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_arrays(path: Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays that ``write_arrays`` wrote, after checking everything.

    Raises ``FileFormatError`` if the file is damaged or of another kind.
    """
    path = Path(path)
    with Archive(path, FileFormatError) as archive:
        sizes = {name: _checked(archive, name).nbytes for name in archive.members}
        check_memory(sum(sizes.values()), f"{path}", FileFormatError)
        arrays = {name: archive.read(name) for name in archive.members}
    if "header" not in arrays:
        raise FileFormatError(f"{path} is not a sparsecpu file: it has no header")
    header = parse_json(arrays.pop("header").tobytes(), f"{path}: the header", _TABLE)
    return header, arrays


def _checked(archive: Archive, name: str) -> ArrayHeader:
    """Return the header of an array that ``write_arrays`` could have written."""
    info, header = archive.members[name], archive.header(name)
    if info.compress_type != zipfile.ZIP_STORED or not info.filename.endswith(".npy"):
        raise FileFormatError(f"{archive.path}: unexpected member {info.filename!r}")
    if header.fortran or header.dtype.str not in _ALLOWED:
        raise FileFormatError(f"{archive.path}: {name} has the unexpected type {header.dtype.str}")
    return header


def fingerprint(*arrays: Any) -> str:
    """Return a short hash of arrays in hexadecimal, which recognises a data set."""
    import hashlib

    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:32]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key under which ``2.weight`` comes before ``10.weight``."""
    return [
        (int(part), "") if part.isdecimal() and len(part) < 20 else (-1, part)
        for part in name.split(".")
    ]
