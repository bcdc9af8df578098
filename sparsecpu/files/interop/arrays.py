"""NumPy's ``.npz`` files, folders of SciPy matrices, and arrays in memory."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.archive import natural_order
from sparsecpu.files.interop.tensors import SparseTensor, Tensor, array_tensor
from sparsecpu.files.writing import atomic_write
from sparsecpu.sparse.parameter import SparseParameter

#: File of a folder with everything that is not a matrix.
_VECTORS = "vectors.npz"


def read_npz(path: Path | str) -> dict[str, Tensor]:
    """Open an ``.npz`` of plain arrays as tensors by name; rows are read when they are needed.

    Raises ``FileFormatError`` if the file is damaged or holds anything but numbers.
    """
    path = Path(path)
    found: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as stream:
                    shape, fortran, dtype = _header(stream)
                    start = stream.tell()
                name = info.filename.removesuffix(".npy")
                if dtype.kind not in "fiub" or dtype.hasobject:
                    raise FileFormatError(f"{path}: {name} has elements of type {dtype}")
                if min((0, *shape)) < 0 or start + math.prod(shape) * dtype.itemsize != (
                    info.file_size
                ):
                    raise FileFormatError(f"{path}: {name} of shape {shape} has other bytes")
                found[name] = _member(path, info.filename, shape, fortran, dtype)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile and NumPy raise many kinds on damaged bytes
        raise FileFormatError(f"{path} is damaged or not an .npz file ({error})") from error
    return found


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, Fortran order and type, and leave the stream at the first value."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(stream)]
    return read(stream)


def _member(
    path: Path, member: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype
) -> Tensor:
    """Return a tensor that reads its member from front to back in each pass."""
    columns, rows = math.prod(shape[1:]), shape[0] if shape else 1
    open_stream: dict[str, Any] = {}

    def read(first: int, stop: int) -> np.ndarray:
        if first == 0:
            stream: Any = zipfile.ZipFile(path).open(member)  # noqa: SIM115
            _header(stream)
            if fortran and len(shape) > 1:  # a row is scattered over the file: read all of it
                whole = np.frombuffer(stream.read(), dtype).reshape(shape, order="F")
                stream = io.BytesIO(np.ascontiguousarray(whole).tobytes())
            open_stream["stream"] = stream
        count = (stop - first) * columns
        raw = np.frombuffer(open_stream["stream"].read(count * dtype.itemsize), dtype)
        if len(raw) != count:
            raise FileFormatError(f"{path}: {member} is cut off")
        if stop == rows:
            open_stream.pop("stream").close()
        wide = dtype.kind == "f" and dtype.itemsize >= 4
        return (raw if wide else raw.astype(np.float32)).reshape(stop - first, columns)

    return Tensor(member.removesuffix(".npy"), shape, read)


def write_scipy(network: Any, folder: Path | str) -> None:
    """Write a network as a folder of ``scipy.sparse.load_npz`` files, one per matrix.

    Biases, norms and the scale of the inputs go to ``vectors.npz``.
    """
    from scipy.sparse import save_npz

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"{folder}: {error.strerror or error}") from error
    vectors: dict[str, np.ndarray] = {"input.offset": network.offset, "input.scale": network.scale}
    for name, parameter in network.parameters().items():
        if isinstance(parameter, SparseParameter):
            with atomic_write(folder / f"{name}.npz") as file:
                save_npz(file, parameter.to_scipy())
        else:
            vectors[name] = parameter.data
    vectors |= network.buffers()
    with atomic_write(folder / _VECTORS) as file:
        np.savez(file, **vectors)  # type: ignore[arg-type]


def read_scipy(folder: Path | str) -> dict[str, Tensor]:
    """Open a folder of ``scipy.sparse.save_npz`` files, such as ``write_scipy`` wrote."""
    from scipy.sparse import csr_array, load_npz

    folder = Path(folder)
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: natural_order(path.stem)):
        if path.name == _VECTORS:
            found |= read_npz(path)
            continue
        try:
            found[path.stem] = SparseTensor(path.stem, csr_array(load_npz(path)))
        except Exception as error:  # SciPy raises many kinds on damaged bytes
            raise FileFormatError(f"{path} is not a SciPy matrix ({error})") from error
    if not found:
        raise FileFormatError(f"{folder} holds no .npz file")
    return found


def mapping_tensors(arrays: Any) -> dict[str, Tensor]:
    """Return arrays, SciPy matrices and PyTorch tensors as tensors by name."""
    found: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if isinstance(array, Tensor):
            found[name] = array
        elif hasattr(array, "tocsr"):
            from scipy.sparse import csr_array

            found[name] = SparseTensor(name, csr_array(array))
        elif hasattr(array, "detach"):
            from sparsecpu.files.interop.torch_files import torch_tensor

            found[name] = torch_tensor(name, array)
        else:
            found[name] = array_tensor(name, np.asarray(array))
    return found
