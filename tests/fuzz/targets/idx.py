"""Folders of IDX files, plain and gzipped."""

import gzip
import struct

import numpy as np

from sparsecpu.datasets import open_data
from tests.fuzz.alter_bytes import BOUNDARIES, alter_bytes
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target
from tests.fuzz.zips import bomb


def _content(dims, values, kind=8):
    return struct.pack(f">4B{len(dims)}I", 0, 0, kind, len(dims), *dims) + values.tobytes()


def _folder():
    rng = np.random.default_rng(0)
    files = {}
    for part, n in (("train", 6), ("t10k", 3)):
        pixels = rng.integers(0, 256, (n, 3, 2), dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = _content((n, 3, 2), pixels)
        files[f"{part}-labels-idx1-ubyte"] = _content((n,), np.arange(n, dtype=np.uint8) % 3)
    return files


def _qmnist():
    """Return the same images with QMNIST's names and labels."""
    names = {"train": "qmnist-train", "t10k": "qmnist-test"}
    files = {}
    for name, content in _folder().items():
        part, _, what = name.partition("-")
        files[f"{names[part]}-{what}"] = content
        if what.startswith("labels"):
            labels = np.frombuffer(content[8:], np.uint8)[:, None] * np.ones(8)
            del files[f"{names[part]}-{what}"]
            files[f"{names[part]}-labels-idx2-int"] = _content(
                labels.shape, labels.astype(">i4"), 12
            )
    return files


_PLAIN = _folder()
_QMNIST = _qmnist()
_PACKED = {f"{name}.gz": gzip.compress(c, 1, mtime=0) for name, c in _PLAIN.items()}


class Idx(Target):
    """``open_data`` on a folder like MNIST's."""

    name = "idx"

    def valid(self):
        return [_PLAIN, _PACKED, _QMNIST]

    def case(self, rng):
        files = dict(_PLAIN if rng.random() < 0.7 else _QMNIST)
        if rng.random() < 0.05:
            files |= _QMNIST
        packed = rng.random() < 0.3
        for name in rng.sample(sorted(files), rng.choice((1, 1, 1, 2))):
            files[name] = _altered(rng, files[name])
        if packed:
            suffix = ".gz" if rng.random() < 0.9 else ""
            files = {f"{name}{suffix}": gzip.compress(c, 1, mtime=0) for name, c in files.items()}
            name = rng.choice(sorted(files))
            choice = rng.random()
            if choice < 0.3:
                files[name] = alter_bytes(rng, files[name], files[name])
            elif choice < 0.302:
                files[name] = _bomb(rng)
            elif choice < 0.35:
                files[name] *= 2  # a second member behind the first
        elif rng.random() < 0.05:
            name = rng.choice(sorted(files))
            files[name.replace("-idx", ".idx") if rng.random() < 0.5 else "x"] = files.pop(name)
        return files

    def read(self, folder):
        data = open_data(str(folder))
        check_dataset(data)
        assert data.x_train.dtype == np.uint8


def _altered(rng, content):
    choice = rng.randrange(4)
    if choice == 0:
        return alter_bytes(rng, content, content)
    dims = list(struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]]))
    start = 4 + 4 * len(dims)
    if choice == 1:  # other sizes, and perhaps the bytes that they need
        dims[rng.randrange(len(dims))] = rng.choice(BOUNDARIES) & 0xFFFFFFFF
        values = content[start:]
        if np.prod(dims, dtype=float) < 1e5:
            values = (values * 1000)[: int(np.prod(dims))]
        return content[:4] + struct.pack(f">{len(dims)}I", *dims) + values
    if choice == 2:  # other values
        return content[:start] + bytes(rng.choice((0, 1, 255)) for _ in content[start:])
    at = rng.randrange(start)
    return content[:at] + bytes([rng.choice((0, 1, 3, 8, 9, 11, 13, 14, 255))]) + content[at + 1 :]


def _bomb(rng):
    """A gzip file of a few hundred kilobytes that unpacks to 600 MB."""
    dims = rng.choice(((600, 1024, 1024), (3, 14, 14), (6, 3, 2)))
    packed, crc = bomb(600, struct.pack(">4B3I", 0, 0, 8, 3, *dims))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed + struct.pack("<II", crc, (600 << 20) + 16)


TARGET = Idx()
