"""Arrays and a header in one ``.npz``: never a pickle, never half-written.

The file is a ZIP archive of ``.npy`` members, readable with ``numpy.load(allow_pickle=False)``. The
member ``header`` is JSON. Nothing in the file depends on the time or the machine.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, SparseCPUError
from sparsecpu.files.writing import atomic_write

#: The header of an array ends within so many bytes.
_HEADER_BYTES = 1 << 16
#: Array types that we write, and read.
_ALLOWED = ("<f4", "<f8", "<i4", "<i8", "|u1", "|b1")


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
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > size:
                raise FileFormatError(f"{path}: members claim more bytes than the file has")
            arrays = {}
            for info in infos:
                if info.compress_type != zipfile.ZIP_STORED or not info.filename.endswith(".npy"):
                    raise FileFormatError(f"{path}: unexpected member {info.filename!r}")
                arrays[info.filename[:-4]] = _read_member(archive.read(info))
        header = json.loads(arrays.pop("header").tobytes())
    except SparseCPUError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, struct, json and NumPy raise many kinds on damaged bytes
        raise FileFormatError(f"{path} is damaged or not a sparsecpu file ({error})") from error
    if not isinstance(header, dict):
        raise FileFormatError(f"{path}: the header is not a table")
    return header, arrays


def _read_member(content: bytes) -> np.ndarray:
    """Return the array of a member, after checking its header against its bytes."""
    stream = io.BytesIO(content[:_HEADER_BYTES])
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(stream)
    if fortran or dtype.str not in _ALLOWED:
        raise FileFormatError(f"unexpected array type {dtype.str}")
    data = memoryview(content)[stream.tell() :]  # a slice of the bytes themselves would be a copy
    count = 1
    for n in shape:
        count *= n
    if min((0, *shape)) < 0 or count * dtype.itemsize != len(data):
        raise FileFormatError(f"an array of shape {shape} does not have {len(data)} bytes")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


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
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]
