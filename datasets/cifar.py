"""Folders of CIFAR's binary files: one or two label bytes, then 3072 bytes of pixels, per image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.labels import given_split
from sparsecpu.errors import DataError
from sparsecpu.reading.files import open_regular, refusing
from sparsecpu.reading.memory import check_memory

_SHAPE = (3, 32, 32)
_PIXELS = 3072
#: Images that a file may have; CIFAR's own have 10,000 or 50,000.
_MOST = 1_000_000
#: Images that are read at once.
_AT_ONCE = 1000
#: Training files, test file, label bytes per image (the last one is read), classes.
_Kind = tuple[list[str], str, int, int]
_CIFAR10: _Kind = ([f"data_batch_{n}.bin" for n in range(1, 6)], "test_batch.bin", 1, 10)
_CIFAR100: _Kind = (["train.bin"], "test.bin", 2, 100)


def is_cifar(path: Path | str) -> bool:
    """Return True for a folder with a file that is named as CIFAR's are, or for such a file."""
    path = Path(path)
    if path.is_dir():
        return bool(_kinds(path))
    return any(path.name in (*train, test) for train, test, *_ in (_CIFAR10, _CIFAR100))


def _kinds(folder: Path) -> list[_Kind]:
    """Return the kinds of CIFAR of which a folder has any file."""
    return [
        kind for kind in (_CIFAR10, _CIFAR100)
        if any((folder / name).exists() for name in (*kind[0], kind[1]))
    ]  # fmt: skip


def read_cifar(folder: Path | str) -> Dataset:
    """Read a folder with the binary files of CIFAR-10 or CIFAR-100 (fine labels).

    Parameters
    ----------
    folder : path
        Holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or ``train.bin``
        and ``test.bin``; or one of those files.

    Raises
    ------
    DataError
        If a file is missing, truncated, or has labels that do not exist.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"{folder}: no such file or folder")
    if folder.is_dir():
        kinds = _kinds(folder) or [_CIFAR10]
        if len(kinds) == 2:
            ways = f"{folder / _CIFAR10[1]} or {folder / _CIFAR100[1]}"
            raise DataError(f"{folder} has files of CIFAR-10 and of CIFAR-100; name {ways}")
    else:
        kinds = [_CIFAR100 if folder.name in (*_CIFAR100[0], _CIFAR100[1]) else _CIFAR10]
        folder = folder.parent
    train, test, bytes_, classes = kinds[0]
    record = bytes_ + _PIXELS
    counts = [_count(folder / name, record) for name in (*train, test)]
    check_memory(sum(counts) * record, f"{folder}", DataError)
    x, y = _records([folder / name for name in train], counts[:-1], bytes_, classes)
    x_test, y_test = _records([folder / test], counts[-1:], bytes_, classes)
    called = folder.absolute().name
    dataset = given_split(called, x, y, x_test, y_test, "classification", _SHAPE)
    return replace(dataset, scaling="channel")


def _count(path: Path, record: int) -> int:
    """Return how many images a file has, by its size."""
    if not path.is_file():
        raise DataError(f"{path.parent} has no {path.name}")
    size = path.stat().st_size
    if size == 0 or size % record:
        raise DataError(f"{path} has {size} bytes; expected a multiple of {record}")
    if size // record > _MOST:
        raise DataError(f"{path} has {size // record:,} images; expected at most {_MOST:,}")
    return size // record


def _records(
    paths: list[Path], counts: list[int], label_bytes: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and labels of files, each of which has so many images."""
    x, y = np.empty((sum(counts), _PIXELS), dtype=np.uint8), np.empty(sum(counts), dtype=np.int64)
    at, record = 0, label_bytes + _PIXELS
    for path, count in zip(paths, counts, strict=True):
        with refusing(path, DataError, "a file of CIFAR's"), open_regular(path) as file:
            for start in range(0, count, _AT_ONCE):
                some = min(_AT_ONCE, count - start)
                raw = np.frombuffer(file.read(some * record), np.uint8).reshape(some, record)
                x[at : at + some], y[at : at + some] = raw[:, label_bytes:], raw[:, label_bytes - 1]
                at += some
        labels = y[at - count : at]
        if labels.max() >= classes:
            wrong = int(np.argmax(labels >= classes))
            raise DataError(
                f"{path}: image {wrong + 1} has label {labels[wrong]}; expected below {classes}"
            )
    return x, y
