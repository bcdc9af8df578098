"""Image data sets that have a name: where they may be, and how to know them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset

_IDX_FILES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
_CIFAR_FILES = (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")
#: Images in a file of CIFAR's.
BATCH = 10_000
Content = tuple[bytes, np.ndarray]


@dataclass(frozen=True)
class ImageSet:
    """A data set of images: where it may be, and how to know it.

    ``digests`` are those of its files, unpacked, in the order of ``files``; ``test_counts`` says
    how many test images each class has, and ``advice`` where else the files come from.
    """

    name: str
    title: str
    openml: str
    shape: tuple[int, int, int]
    train: int
    test_counts: tuple[int, ...]
    folders: tuple[str, ...]
    files: tuple[str, ...]
    digests: tuple[str, ...]
    advice: str

    @property
    def images(self) -> int:
        """How many images there are."""
        return self.train + sum(self.test_counts)

    @property
    def pixels(self) -> int:
        """How many numbers an image has."""
        channels, height, width = self.shape
        return channels * height * width


FASHION_MNIST = ImageSet(
    "fashion-mnist", "Fashion-MNIST", "40996", (1, 28, 28), 60_000, (1000,) * 10,
    ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"), _IDX_FILES,
    ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
     "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    "they are at https://github.com/zalandoresearch/fashion-mnist, and in Debian's package "
    "dataset-fashion-mnist",
)  # fmt: skip
MNIST = ImageSet(
    "mnist", "MNIST", "554", (1, 28, 28), 60_000,
    (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ("mnist", "MNIST/raw", "MNIST"), _IDX_FILES,
    ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
     "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    "torchvision.datasets.MNIST('data', download=True) puts them there",
)  # fmt: skip
CIFAR10 = ImageSet(
    "cifar10", "CIFAR-10", "40927", (3, 32, 32), 50_000, (1000,) * 10,
    ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar-10"), _CIFAR_FILES,
    ("aadd24acce27caa71bf4b10992e9e7b2d74c2540", "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
     "1dd00a74ab1d17a6e7d73e185b69dbf31242f295", "aab85764eb3584312d3c7f65fd2fd016e36a258e",
     "26e2849e66a845b7f1e4614ae70f4889ae604628", "67eb016db431130d61cd03c7ad570b013799c88c"),
    "they are in cifar-10-binary.tar.gz at https://www.cs.toronto.edu/~kriz/cifar.html",
)  # fmt: skip
#: By the names that users type.
IMAGE_SETS = {known.name: known for known in (FASHION_MNIST, MNIST, CIFAR10)}


def sentences() -> dict[str, str]:
    """Return the names with a sentence for each."""
    return {
        known.name: f"{known.title}: {known.images:,} pictures, looked for here, else fetched."
        for known in IMAGE_SETS.values()
    }


def is_published(known: ImageSet, data: Dataset) -> bool:
    """Return True if images and labels, as files, have the checksums of the published ones."""
    if data.input_shape != known.shape or data.x_train.dtype != np.uint8:
        return False
    if data.classes is None or not np.array_equal(data.classes, np.arange(len(known.test_counts))):
        return False
    found = [_checksum(known, *content) for content in _contents(known, data)]
    return tuple(found) == known.digests


def _checksum(known: ImageSet, head: bytes, values: np.ndarray) -> str:
    # Against accidents and wrong folders, for which these are good enough; they are what is known.
    made = hashlib.md5 if len(known.digests[0]) == 32 else hashlib.sha1
    found = made(head, usedforsecurity=False)
    found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def _contents(known: ImageSet, data: Dataset) -> Iterator[Content]:
    """Yield a head and the bytes behind it for each file of an image data set."""
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        labels = y.astype(np.uint8)
        if known.files is _CIFAR_FILES:
            for start in range(0, len(x), BATCH):
                here = slice(start, start + BATCH)
                yield b"", np.column_stack([labels[here], x[here]])
        else:
            yield struct.pack(">4B3I", 0, 0, 8, 3, len(x), *known.shape[1:]), x
            yield struct.pack(">4BI", 0, 0, 8, 1, len(y)), labels


def keep(known: ImageSet, data: Dataset, folder: Path) -> None:
    """Write an image data set as the files that were published, which are read much faster.

    The folder appears when it is whole; where it cannot be written, nothing stays.
    """
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{known.name}-", dir=folder.parent))
        for name, (head, values) in zip(known.files, _contents(known, data), strict=True):
            with open(made / name.removesuffix(".gz"), "wb") as file:
                file.write(head)
                file.write(np.ascontiguousarray(values).data)
        os.replace(made, folder)  # or somebody else has been faster
    except OSError:
        pass
    finally:
        if made is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(made, ignore_errors=True)
