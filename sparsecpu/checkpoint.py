"""Model files and checkpoints: one ``.npz`` each, never a pickle, never half-written.

A file is a ZIP archive of ``.npy`` members, readable with ``numpy.load(allow_pickle=False)``. The
member ``header`` is JSON; every parameter is ``NAME.data``, and ``NAME.indptr`` and
``NAME.indices`` where it is sparse. Nothing in it depends on the time or the machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from sparsecpu.architecture import Architecture
from sparsecpu.csr import Pattern
from sparsecpu.errors import FileFormatError, ParameterError, SparseCPUError
from sparsecpu.layers import Sequential
from sparsecpu.parameters import Parameter, SparseParameter

FORMAT = "sparsecpu-model"
VERSION = 1
#: Bytes in which the header of an array ends.
_HEADER = 1 << 16
#: Array types that we write.
_ALLOWED = ("<f4", "<f8", "<i4", "<i8", "|u1", "|b1")


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of ``path`` when the block ends well.

    Parameters
    ----------
    path : path
        Where the file is to be.

    Yields
    ------
    binary file
        To write into.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_arrays(path: Path | str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a header and arrays, atomically; equal contents are equal bytes.

    Parameters
    ----------
    path : path
        The file.
    header : dict
        Plain values.
    arrays : dict of str to ndarray
        By name.
    """
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
    """Read what ``write_arrays`` wrote, believing nothing.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    header : dict
        Plain values.
    arrays : dict of str to ndarray
        By name.

    Raises
    ------
    FileFormatError
        If the file is damaged, or something else.
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
    """Return the array of one member, after checking that its header tells the truth."""
    stream = io.BytesIO(content[:_HEADER])
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(stream)
    if fortran or dtype.str not in _ALLOWED:
        raise FileFormatError(f"unexpected array type {dtype.str}")
    data = memoryview(content)[stream.tell() :]  # which a slice of bytes would copy
    count = 1
    for n in shape:
        count *= n
    if min((0, *shape)) < 0 or count * dtype.itemsize != len(data):
        raise FileFormatError(f"an array of shape {shape} does not have {len(data)} bytes")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def save(
    network: Sequential,
    path: Path | str,
    architecture: Architecture | None = None,
    *,
    facts: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a model file.

    Parameters
    ----------
    network : Sequential
        The network.
    path : path
        The file, usually ``….npz``.
    architecture : Architecture, optional
        What the network was built from; ``network.architecture`` by default.
    facts : dict, optional
        Plain values to keep in the header: classes, metrics, versions.
    extra : dict of str to ndarray, optional
        Further arrays; a checkpoint keeps its slots here.

    Raises
    ------
    ParameterError
        If the network was put together by hand and no description is given.
    """
    architecture = network.architecture if architecture is None else architecture
    if architecture is None:
        raise ParameterError("architecture", None, "the description of a network made by hand")
    arrays: dict[str, np.ndarray] = {"input.offset": network.offset, "input.scale": network.scale}
    for name, parameter in network.parameters().items():
        arrays[f"{name}.data"] = parameter.data
        if isinstance(parameter, SparseParameter):
            arrays[f"{name}.indptr"] = parameter.pattern.indptr
            arrays[f"{name}.indices"] = parameter.pattern.indices
    for name, buffer in network.buffers().items():
        arrays[f"{name}.buffer"] = buffer
    for name, array in (extra or {}).items():
        arrays[f"extra/{name}"] = array
    described = architecture.to_dict()
    for i, layer in enumerate(described["layers"]):  # nnz moves between layers in training
        weight = network.parameters().get(f"{i}.weight")
        if "nnz" in layer and isinstance(weight, SparseParameter):
            layer["nnz"] = weight.nnz
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": described,
        "dtype": network.dtype.name,
        "facts": facts or {},
    }
    write_arrays(path, header, arrays)


def is_model(path: Path | str) -> bool:
    """Return whether a file looks like one of ours, damaged or not.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    bool
        Whether it is an archive with a header.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return "header.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def load(path: Path | str) -> tuple[Sequential, dict[str, Any]]:
    """Read a model file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    network : Sequential
        The network.
    facts : dict
        What ``save`` was given.

    Raises
    ------
    FileFormatError
        If the file is damaged, or something else.
    """
    network, header, _ = load_all(path)
    return network, header["facts"]


def load_all(path: Path | str) -> tuple[Sequential, dict[str, Any], dict[str, np.ndarray]]:
    """Read a model file with everything in it.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    network : Sequential
        The network.
    header : dict
        ``architecture`` as an ``Architecture``, ``facts``, and the rest of the header.
    extra : dict of str to ndarray
        What ``save`` was given.

    Raises
    ------
    FileFormatError
        If the file is damaged, or something else.
    """
    header, arrays = read_arrays(path)
    if header.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a sparsecpu model")
    if header.get("version") != VERSION:
        raise FileFormatError(f"{path} has version {header.get('version')}; expected {VERSION}")
    if header.get("dtype") not in ("float32", "float64") or "facts" not in header:
        raise FileFormatError(f"{path}: the header is incomplete")
    dtype = np.dtype(header["dtype"])
    try:
        architecture = Architecture.from_dict(header["architecture"])
        network = _rebuild(architecture, arrays, dtype)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (SparseCPUError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    header["architecture"] = architecture
    prefix = "extra/"
    extra = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return network, header, extra


def _rebuild(
    architecture: Architecture, arrays: dict[str, np.ndarray], dtype: np.dtype
) -> Sequential:
    """Return the network of a description and arrays, each checked against the other."""
    parameters: dict[str, Parameter] = {}
    sparse = []
    for name in sorted(arrays):
        if not name.endswith(".data"):
            continue
        key, data = name.removesuffix(".data"), arrays[name]
        if data.dtype != dtype or data.ndim != 1 or not np.isfinite(data).all():
            raise FileFormatError(f"{name} must be a vector of finite {dtype.name}")
        if f"{key}.indptr" in arrays:
            sparse.append(key)
        else:
            parameters[key] = Parameter(data, dtype)
    shapes = architecture.weight_shapes()
    if len(sparse) != len(shapes):
        raise FileFormatError(f"{len(sparse)} sparse parameters; expected {len(shapes)}")
    for key, shape in zip(sorted(sparse, key=_in_order), shapes, strict=True):
        flat = (shape[0], math.prod(shape[1:]))
        pattern = Pattern(flat, arrays[f"{key}.indptr"], arrays[f"{key}.indices"])
        parameters[key] = SparseParameter(pattern, arrays[f"{key}.data"], dtype)
    network = architecture.build(dtype=dtype, parameters=parameters)
    for name, buffer in network.buffers().items():
        _fill(buffer, arrays[f"{name}.buffer"], name)
    offset, scale = arrays["input.offset"], arrays["input.scale"]
    features = int(np.prod(architecture.input_shape))
    if offset.shape != scale.shape or offset.shape not in ((0,), (features,)):
        raise FileFormatError(f"input.offset and input.scale must have {features} entries")
    network.offset, network.scale = offset.astype(dtype), scale.astype(dtype)
    return network


def _in_order(key: str) -> list[tuple[int, str]]:
    """Return what sorts names as the layers of a description come: 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in key.split(".")]


def _fill(buffer: np.ndarray, values: np.ndarray, name: str) -> None:
    if buffer.shape != values.shape:
        raise FileFormatError(f"{name} has shape {values.shape}; expected {buffer.shape}")
    buffer[...] = values


def fingerprint(*arrays: Any) -> str:
    """Return a short hash of arrays, to recognise a data set again.

    Parameters
    ----------
    *arrays : array_like
        The arrays.

    Returns
    -------
    str
        Hexadecimal.
    """
    import hashlib

    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:32]
