"""Folders of SciPy's matrices, a file each."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, FolderInUseError, PatternError
from sparsecpu.files.archive import natural_order
from sparsecpu.files.interop.npz_files import read_npz
from sparsecpu.files.interop.tensors import SparseTensor, Tensor
from sparsecpu.files.locks import FolderLock
from sparsecpu.files.writing import atomic_write, make_folder, write_text
from sparsecpu.reading.archive import Archive
from sparsecpu.reading.files import refusing
from sparsecpu.reading.memory import check_memory
from sparsecpu.sparse.matrices import canonical_csr
from sparsecpu.sparse.parameter import SparseParameter

#: File of a folder with everything that is not a matrix.
_VECTORS = "vectors.npz"
#: File of a folder, or key in a safetensors file's metadata, that holds the description.
DESCRIPTION = "sparsecpu.json"
Shape = tuple[int, ...]
#: The arrays of a matrix, by its format, in the order in which SciPy takes them.
_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}


def write_scipy(network: Any, folder: Path | str, description: str = "") -> None:
    """Write a network as a folder of ``scipy.sparse.load_npz`` files, one per matrix.

    They are in CSR; in BSR, of blocks of (group, 1), where rows stand in groups that are all whole.
    Biases, norms and the scale of the inputs go to ``vectors.npz``, the description to
    ``DESCRIPTION``: it comes last, so that a folder that is not whole does not describe itself. An
    earlier network in the folder, if that is described, goes; of a new folder that cannot be
    written to its end, nothing stays.
    """
    folder = Path(folder)
    new = not folder.exists()
    try:
        make_folder(folder)
        with FolderLock(folder):
            left = _no_longer_described(folder)
            left -= _write_matrices(network, folder)
            for name in left:
                (folder / name).unlink()
            if description:
                write_text(folder / DESCRIPTION, description)
    except FolderInUseError:
        raise
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_matrices(network: Any, folder: Path) -> set[str]:
    """Write all that a network holds; return the names of the matrices' files."""
    from scipy.sparse import save_npz

    vectors: dict[str, np.ndarray] = {"input.offset": network.offset, "input.scale": network.scale}
    written = set()
    for name, parameter in network.parameters().items():
        if isinstance(parameter, SparseParameter):
            pattern = parameter.pattern
            blocks = pattern.group > 1 and pattern.shape[0] % pattern.group == 0
            with atomic_write(folder / f"{name}.npz") as file:
                save_npz(file, parameter.to_scipy("bsr" if blocks else "csr"))
            written.add(f"{name}.npz")
        else:
            vectors[name] = parameter.data
    vectors |= network.buffers()
    with atomic_write(folder / _VECTORS) as file:
        np.savez(file, **vectors)  # type: ignore[arg-type]
    return written


def _no_longer_described(folder: Path) -> set[str]:
    """Take the description out of a folder; return the files of the layers that it described."""
    try:
        (folder / DESCRIPTION).unlink()
    except FileNotFoundError:
        return set()
    return {path.name for path in folder.glob("[0-9]*.weight.npz")}


def read_scipy(folder: Path | str) -> dict[str, Tensor]:
    """Open a folder of ``scipy.sparse.save_npz`` files, such as ``write_scipy`` wrote.

    Matrices are read when they are needed.
    """
    folder = Path(folder)
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: natural_order(path.stem)):
        if path.name == _VECTORS:
            found |= read_npz(path)
        else:
            found[path.stem] = _matrix(path)
    if ("input.offset" in found) != ("input.scale" in found):
        raise FileFormatError(f"{folder}: {_VECTORS} has only half of the scale of the inputs")
    if not found:
        raise FileFormatError(f"{folder} holds no .npz file")
    return found


def _matrix(path: Path) -> Tensor:
    """Return a matrix as a tensor, once everything that its headers say fits together."""
    with Archive(path, FileFormatError) as archive:
        kind, shape = _format(archive), _shape(archive)
        missing = [part for part in _PARTS[kind] if part not in archive.members]
        if missing:
            raise FileFormatError(f"{path} is not a SciPy matrix: it has no {missing[0]}")
        headers = [archive.header(part) for part in _PARTS[kind]]
    if not _fit(kind, shape, *(header.shape for header in headers)):
        sizes = " and ".join(str(header.shape) for header in headers)
        raise FileFormatError(f"{path}: arrays of shape {sizes} are no matrix of shape {shape}")

    def load() -> Any:
        # The arrays, as many bytes again while they are put in order, and where rows begin.
        check_memory(2 * sum(h.nbytes for h in headers) + 16 * shape[0], f"{path}", FileFormatError)
        with Archive(path, FileFormatError) as archive:
            arrays = [archive.read(part) for part in _PARTS[kind]]
        try:
            return canonical_csr(_made(path, kind, shape, arrays), path.stem)
        except PatternError as error:
            raise FileFormatError(f"{path}: {error}") from error

    return SparseTensor(path.stem, shape, load)


def _fit(kind: str, shape: Shape, data: Shape, *index: Shape) -> bool:
    """Return True if the shapes of a matrix's arrays fit together, and say no more than it holds.

    So no more is read than a matrix of this shape can need, whatever a file claims.
    """
    rows, columns = shape
    if any(len(size) != 1 for size in index) or len(data) != {"dia": 2, "bsr": 3}.get(kind, 1):
        return False
    if kind == "dia":
        return index[0][0] == data[0] <= rows + columns and data[1] <= columns
    if data[0] != index[0][0] or math.prod(data) > rows * columns:
        return False
    if kind == "coo":
        return index[1] == index[0]
    if kind == "bsr":
        rows = rows // max(1, data[1])
    return index[1][0] == (columns if kind == "csc" else rows) + 1


def _format(archive: Archive) -> str:
    """Return the format that a file says its matrix is in."""
    said = ""
    if "format" in archive.members and archive.header("format").nbytes < 100:
        text = archive.read("format").ravel().tobytes()  # of one byte per character, or of four
        said = text.replace(b"\0", b"").decode("ascii", "replace")
    if said not in _PARTS:
        raise FileFormatError(f"{archive.path} is not a SciPy matrix of a known format")
    return said


def _shape(archive: Archive) -> tuple[int, int]:
    if "shape" in archive.members:
        header = archive.header("shape")
        if header.shape == (2,) and header.dtype.kind in "iu":
            rows, columns = archive.read("shape").tolist()
            if 0 <= min(rows, columns) <= max(rows, columns) < 2**31:
                return rows, columns
    raise FileFormatError(f"{archive.path} is not a SciPy matrix: it has no rows and columns")


def _made(path: Path, kind: str, shape: tuple[int, int], arrays: list[np.ndarray]) -> Any:
    """Return SciPy's matrix of some arrays, which nothing has read through yet."""
    from scipy import sparse

    make: Callable[..., Any] = getattr(sparse, f"{kind}_array")
    data, *index = arrays
    if data.dtype.kind not in "fiub":
        raise FileFormatError(f"{path}: its values are of type {data.dtype}; expected numbers")
    for array in index:
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise FileFormatError(f"{path}: its index holds {array.dtype} of shape {array.shape}")
    with refusing(path, FileFormatError, "a SciPy matrix"):
        if kind == "coo":
            return make((data, tuple(index)), shape=shape)
        return make((data, *index), shape=shape)
