"""Archives of arrays that hold data."""

import io
import zipfile
import zlib

import numpy as np

from sparsecpu.datasets import open_data, read_samples
from sparsecpu.errors import DataError
from sparsecpu.reading.archive import Archive
from tests.fuzz.alter_archive import alter_archive
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target
from tests.fuzz.zips import Array, Member, write_zip


def _archives():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 2, 2)).astype(np.uint8)
    x, y = rng.standard_normal((6, 3)).astype(np.float32), np.arange(6) % 2
    found = (
        {"x": pixels, "y": y},
        {"x": x.astype(np.float64), "y": x[:, :1] * 2},
        {"x": x, "y": np.array(["a", "b"] * 3), "unused": np.zeros(3)},
        {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]},
        {"x_train": pixels, "y_train": x[:, :2], "x_test": pixels[:2], "y_test": x[:2, :2]},
    )
    return [{name: Array.of(a) for name, a in arrays.items()} for arrays in found]


_ARCHIVES = _archives()


class Npz(Target):
    """``open_data`` and ``read_samples`` on an .npz."""

    name = "npz"

    def valid(self):
        return [
            {"it.npz": write_zip([Member(f"{n}.npy", a.content()) for n, a in arrays.items()])}
            for arrays in _ARCHIVES
        ]

    def case(self, rng):
        return {"it.npz": alter_archive(rng, rng.choice(_ARCHIVES))}

    def read(self, folder):
        path = folder / "it.npz"
        if zlib.crc32(path.read_bytes()) % 4 == 0:  # it takes time
            _compare_with_numpy(path)
        try:
            data = open_data(str(path))
        except DataError:
            samples = read_samples(path, 3)  # refused as well, or targets alone were wrong
            assert samples.shape[1] == 3
            assert np.isfinite(samples).all()
            return
        check_dataset(data)


def _compare_with_numpy(path):
    """What both we and NumPy read from an archive is the same."""
    with Archive(path, DataError) as archive:
        found = {archive.members[name]: archive.read(name) for name in archive.members}
    with zipfile.ZipFile(path) as members:
        for info, array in found.items():
            theirs = np.lib.format.read_array(io.BytesIO(members.read(info)), allow_pickle=False)
            np.testing.assert_array_equal(array, theirs)


TARGET = Npz()
