"""Folders of CIFAR's binary files."""

import numpy as np

from sparsecpu.datasets import open_data
from tests.fuzz.alter_bytes import alter_bytes
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target


def _records(label_bytes, images=2):
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (images, label_bytes + 3072), dtype=np.uint8)
    records[:, :label_bytes] = np.arange(images)[:, None]
    return records.tobytes()


_TEN = {f"data_batch_{n}.bin": _records(1) for n in range(1, 6)} | {"test_batch.bin": _records(1)}
_HUNDRED = {"train.bin": _records(2), "test.bin": _records(2)}


class Cifar(Target):
    """``open_data`` on a folder like CIFAR's."""

    name = "cifar"

    def valid(self):
        return [_TEN, _HUNDRED]

    def case(self, rng):
        files = dict(_HUNDRED if rng.random() < 0.8 else _TEN)
        name = rng.choice(sorted(files))
        choice = rng.randrange(6)
        if choice == 0:
            del files[name]
        elif choice == 1:
            files[rng.choice(sorted(files))] = files[name]
        elif choice == 2:  # labels
            at = rng.randrange(2)
            files[name] = files[name][:at] + bytes([rng.randrange(256)]) + files[name][at + 1 :]
        elif choice == 3:
            files[name] = files[name] * rng.choice((0, 2, 3))
        else:
            files[name] = alter_bytes(rng, files[name], files[name])
        return files

    def read(self, folder):
        data = open_data(str(folder))
        check_dataset(data)
        assert data.input_shape == (3, 32, 32)


TARGET = Cifar()
