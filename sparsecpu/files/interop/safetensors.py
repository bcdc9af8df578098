"""Safetensors files: a table of contents in JSON, and bytes; read and written by rows.

The format is eight bytes with the length of the table, the table, and the tensors one after the
other. The ``safetensors`` package is not used: it does not read bfloat16 into NumPy, and writes
only tensors that are whole in memory.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.archive import natural_order
from sparsecpu.files.documents import parse_json
from sparsecpu.files.interop.tensors import Tensor, unreadable
from sparsecpu.files.writing import atomic_write
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.step.plain_values import anything, named

#: Bytes of the longest table that the format allows.
_LONGEST_TABLE = 100_000_000
#: A shape has at most so many axes.
_MOST_AXES = 32
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "|i1", "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "|b1",
}  # fmt: skip
#: Bits of an element of the types that the format has and nothing here reads: numbers of eight bits
#: and fewer mean something beside scales that each program keeps elsewhere.
_UNREAD = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "C64": 64,
}  # fmt: skip
_BITS = {**_UNREAD, **{kind: 8 * np.dtype(dtype).itemsize for kind, dtype in _TYPES.items()}}
#: What the name of a type may be, types of the years to come included.
_KIND = re.compile(r"[A-Z][A-Z0-9_]{0,15}")


class _Location(NamedTuple):
    """The type and shape of a tensor, and its first and last byte behind the table."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_safetensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Open a file; return its tensors by name, and what else it says.

    Everything is checked, and tensors are read only when they are needed; those of types that
    cannot be read are refused only then. They come in the order of the file, or by number where the
    file has them sorted by name.
    """
    path = Path(path)
    table, start = _read_table(path)
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise FileFormatError(f"{path}: the metadata are not a table")
    locations = {name: _location(path, name, entry) for name, entry in table.items()}
    _check_gapless(path, start, locations)
    names = sorted(locations, key=lambda name: (locations[name].start, locations[name].stop))
    if names == sorted(names):  # written by name: 10 before 2
        names.sort(key=natural_order)
    found = {name: _tensor(path, name, start, locations[name]) for name in names}
    return found, {str(key): str(value) for key, value in metadata.items()}


def _read_table(path: Path) -> tuple[dict[str, Any], int]:
    """Return the table of contents, and where the tensors begin."""
    with refusing(path, FileFormatError, "a safetensors file"), open_regular(path) as file:
        size, length = file_size(file), int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_TABLE):
            raise FileFormatError(f"{path} is cut off, or not a safetensors file")
        text = file.read(length)
    table = parse_json(text, f"{path}: the table of contents", named(anything))
    return table, 8 + length


def _location(path: Path, name: str, entry: Any) -> _Location:
    """Return what the table says of a tensor, if it is consistent."""
    try:
        kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        known = type(kind) is str and bool(_KIND.fullmatch(kind)) and len(shape) <= _MOST_AXES
        known = known and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, start, stop))
        known = known and start <= stop
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise FileFormatError(f"{path}: {name} is not described as a tensor")
    if kind in _BITS and 8 * (stop - start) != math.prod(shape) * _BITS[kind]:
        raise FileFormatError(f"{path}: {name} of shape {shape} does not have {stop - start} bytes")
    return _Location(kind, shape, start, stop)


def _check_gapless(path: Path, start: int, locations: dict[str, _Location]) -> None:
    """Raise ``FileFormatError`` unless the tensors fill the file without gap or overlap."""
    end = 0
    for name, location in sorted(locations.items(), key=lambda item: item[1].start):
        if location.start != end:
            what = "overlaps another tensor" if location.start < end else "leaves a gap before it"
            raise FileFormatError(f"{path}: {name} {what}")
        end = location.stop
    size = path.stat().st_size
    if start + end != size:
        raise FileFormatError(f"{path} has {size} bytes; its table adds up to {start + end}")


def _tensor(path: Path, name: str, tensors_start: int, location: _Location) -> Tensor:
    kind, shape = location.kind, location.shape
    if kind not in _TYPES:
        reason = f"has elements of type {kind}, which are not read; save it as float32"
        return unreadable(name, shape, reason)
    dtype, columns = np.dtype(_TYPES[kind]), math.prod(shape[1:])

    def read(first: int, stop: int) -> np.ndarray:
        count = (stop - first) * columns
        with refusing(path, FileFormatError, "a safetensors file"), open_regular(path) as file:
            file.seek(tensors_start + location.start + first * columns * dtype.itemsize)
            raw = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        if len(raw) != count:
            raise FileFormatError(f"{path} was cut off while it was read")
        if kind == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        wide = dtype.kind == "f" and dtype.itemsize >= 4
        return (raw if wide else raw.astype(np.float32)).reshape(stop - first, columns)

    return Tensor(name, shape, read)


def write_safetensors(
    path: Path | str,
    tensors: Iterable[tuple[str, tuple[int, ...], str, Iterator[np.ndarray]]],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write tensors atomically, a tile at a time.

    Each is a name, a shape, a type (``"F32"`` …), and arrays that make it up, in order.
    """
    tensors, table, end = list(tensors), {}, 0
    for name, shape, kind, _ in tensors:
        start, end = end, end + math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps({"__metadata__": metadata or {}, **table}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, _, kind, tiles in tensors:
            for tile in tiles:
                file.write(np.ascontiguousarray(tile, dtype=_TYPES[kind]).tobytes())
