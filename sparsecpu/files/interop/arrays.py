"""NumPy ``.npz`` files, and folders of SciPy matrices."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.archive import atomic_write
from sparsecpu.files.interop.tensors import SparseTensor, Tensor, of_array
from sparsecpu.sparse.parameter import SparseParameter

#: Of a folder: everything that is not a matrix.
_VECTORS = "vectors.npz"


def read_npz(path: Path | str) -> dict[str, Tensor]:
    """Open an ``.npz`` of plain arrays; each is read by rows when it is asked for.

    Parameters
    ----------
    path : path
        As ``numpy.savez`` or ``numpy.savez_compressed`` wrote it.

    Returns
    -------
    dict of str to Tensor
        By name, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds something else than numbers.
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
                    raise FileFormatError(f"{path}: {name} is not of shape {shape}")
                found[name] = _member(path, info.filename, shape, fortran, dtype)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile and NumPy raise many kinds on damaged bytes
        raise FileFormatError(f"{path} is damaged or not an .npz file ({error})") from error
    return found


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(stream)]
    return read(stream)


def _member(
    path: Path, member: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype
) -> Tensor:
    """Return a tensor that goes through its member from the front, once per pass."""
    columns, rows = math.prod(shape[1:]), shape[0] if shape else 1
    held: dict[str, Any] = {}

    def read(first: int, stop: int) -> np.ndarray:
        if first == 0:
            stream: Any = zipfile.ZipFile(path).open(member)  # noqa: SIM115
            _header(stream)
            if fortran and len(shape) > 1:  # its rows lie scattered: all at once
                whole = np.frombuffer(stream.read(), dtype).reshape(shape, order="F")
                stream = io.BytesIO(np.ascontiguousarray(whole).tobytes())
            held["stream"] = stream
        count = (stop - first) * columns
        raw = np.frombuffer(held["stream"].read(count * dtype.itemsize), dtype)
        if len(raw) != count:
            raise FileFormatError(f"{path}: {member} is cut off")
        if stop == rows:
            held.pop("stream").close()
        wide = dtype.kind == "f" and dtype.itemsize >= 4
        return (raw if wide else raw.astype(np.float32)).reshape(stop - first, columns)

    return Tensor(member.removesuffix(".npy"), shape, read)


def write_scipy(network: Any, folder: Path | str) -> None:
    """Write a folder with one ``NAME.npz`` per matrix, for ``scipy.sparse.load_npz``.

    Parameters
    ----------
    network : Sequential
        The network.
    folder : path
        Made where it is missing. Biases, norms and the scale of the inputs are in
        ``vectors.npz``.

    Raises
    ------
    FileFormatError
        If there is something else of that name.
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
    """Open what ``write_scipy`` wrote, or any folder of ``scipy.sparse.save_npz`` files.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    dict of str to Tensor
        Matrices and vectors by name.

    Raises
    ------
    FileFormatError
        If a file is damaged.
    """
    from scipy.sparse import csr_array, load_npz

    from sparsecpu.files.interop.safetensors import natural

    folder = Path(folder)
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: natural(path.stem)):
        if path.name == _VECTORS:
            found |= read_npz(path)
            continue
        try:
            found[path.stem] = SparseTensor(path.stem, csr_array(load_npz(path)))
        except Exception as error:  # whatever damaged bytes lead to
            raise FileFormatError(f"{path} is not a SciPy matrix ({error})") from error
    if not found:
        raise FileFormatError(f"{folder} holds no .npz file")
    return found


def of_mapping(arrays: Any) -> dict[str, Tensor]:
    """Return arrays, SciPy matrices and PyTorch tensors in memory as tensors.

    Parameters
    ----------
    arrays : mapping of str to array_like
        For example a ``state_dict``.

    Returns
    -------
    dict of str to Tensor
        The same.

    Raises
    ------
    FileFormatError
        If something in it is none of these.
    """
    found: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if isinstance(array, Tensor):
            found[name] = array
        elif hasattr(array, "tocsr"):
            from scipy.sparse import csr_array

            found[name] = SparseTensor(name, csr_array(array))
        elif hasattr(array, "detach"):
            from sparsecpu.files.interop.torch_files import of_torch

            found[name] = of_torch(name, array)
        else:
            found[name] = of_array(name, np.asarray(array))
    return found
