"""PyTorch's ``state_dict`` files, read with ``weights_only=True``, which runs no code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from sparsecpu.errors import FileFormatError, MissingExtraError
from sparsecpu.files.interop.tensors import SparseTensor, Tensor, unreadable
from sparsecpu.files.interop.torch_sparse import load_sparse, numbers, repeats
from sparsecpu.files.writing import atomic_write
from sparsecpu.reading.files import open_regular, refusing

#: What to do about a file that holds more than weights.
_ANEW = (
    "save the weights alone, where the file was made: torch.save(model.state_dict(), 'weights.pt')"
)
#: Keys under which checkpoints of training scripts hold the weights.
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net", "module")


def require_torch(purpose: str) -> Any:
    """Import PyTorch, or raise ``MissingExtraError`` that says what ``purpose`` needs it."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", purpose, "torch") from None
    return torch


def read_torch(path: Path | str) -> dict[str, Tensor]:
    """Open the weights in a file of ``torch.save``; they stay in the file until they are needed.

    The file holds a state dict, or a dictionary with one under ``state_dict`` or ``model``. Raises
    ``FileFormatError`` if it is damaged, holds anything but plain data, or no tensors.
    """
    torch = require_torch("reading a PyTorch file")
    path = Path(path)
    held = _loaded(torch, path)
    for name in _WEIGHT_KEYS:
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    tensors = {
        str(name): torch_tensor(str(name), value)
        for name, value in (held.items() if isinstance(held, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise FileFormatError(f"{path} holds no tensors by name")
    return tensors


def _loaded(torch: Any, path: Path) -> Any:
    """Return what a file holds; nothing in it is run, and no size in it is believed."""
    with refusing(path, FileFormatError, "a PyTorch file"), open_regular(path) as file:
        zipped = zipfile.is_zipfile(file)
        if zipped:  # PyTorch packs nothing, but would unpack whatever it finds
            with zipfile.ZipFile(file) as archive:
                if any(info.compress_type for info in archive.infolist()):
                    reason = "it is compressed, as programs and archives are"
                    raise FileFormatError(f"{path} is not a file of weights: {reason}; {_ANEW}")
    try:
        if zipped:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # Files that torch wrote before version 1.6 cannot be mapped into memory.
        with _Bounded(path) as bounded:
            return torch.load(bounded, map_location="cpu", weights_only=True)
    except Exception as error:  # refused globals, damaged archives, sizes that are not there
        if "eights only" in str(error) or "weights_only" in str(error):
            reason = f"it holds more than plain tensors, and no code in a file is run; {_ANEW}"
        else:
            reason = f"it is damaged, or not a PyTorch file ({(str(error) or repr(error))[:200]})"
        raise FileFormatError(f"{path} cannot be read: {reason}") from error


class _Bounded(io.BufferedReader):
    """A file of which nobody can ask for more bytes than there are: they would be made room for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def torch_tensor(name: str, value: Any) -> Tensor:
    """Return a PyTorch tensor, dense or sparse, as one of ours.

    One that cannot be read is refused when it is, and no sooner.
    """
    torch = require_torch("a PyTorch tensor")
    if value.is_nested:
        return unreadable(name, (), "is a nested tensor; expected one with a shape")
    value = value.detach()
    shape, kind = tuple(value.shape), value.dtype
    if value.device.type != "cpu":
        return unreadable(name, shape, f"is on {value.device}; expected it on the CPU")
    if value.is_complex() or value.is_quantized or "float8" in str(kind):  # beside scales
        return unreadable(name, shape, f"has elements of type {kind}; save it as float32")
    if value.layout != torch.strided:
        return SparseTensor(name, shape, lambda: load_sparse(torch, name, value))
    if repeats(value):
        return unreadable(name, shape, f"of shape {shape} repeats the same few numbers")
    rows = value.reshape(shape[0] if shape else 1, -1) if value.numel() else value

    def read(start: int, stop: int) -> np.ndarray:
        try:
            return numbers(torch, name, rows[start:stop])
        except (NotImplementedError, RuntimeError) as error:  # types that PyTorch only carries
            reason = f"{name} has elements of type {kind}; save it as float32"
            raise FileFormatError(reason) from error

    return Tensor(name, shape, read)


def write_torch(module: Any, path: Path | str) -> None:
    """Write a module's ``state_dict`` atomically."""
    torch = require_torch("writing a PyTorch file")
    with atomic_write(path) as file:
        target = _Target(file)
        try:
            torch.save(module.state_dict(), target)
        except RuntimeError:
            if target.error is not None:
                raise target.error from None
            raise


class _Target:
    """A file to write to; it keeps a full disk or Ctrl-C, of which PyTorch makes other errors."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
