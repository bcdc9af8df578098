"""A reader with faults, each of which the harness must find."""

import ctypes
import time

from sparsecpu.errors import DataError
from tests.fuzz.target import Target


class _Rude(DataError):
    """Says more than a line."""

    def __str__(self):
        return "two\nlines"


class Planted(Target):
    """Does what the first byte says."""

    name = "tests.fuzz.planted"
    seconds = 0.5

    def valid(self):
        return [{"it": b"0"}]

    def case(self, rng):
        return {"it": b"%d--padding--" % rng.randrange(8)}

    def read(self, folder):
        what = (folder / "it").read_bytes()[:1]
        if what == b"1":
            raise KeyError("a foreign exception")
        if what == b"2":
            raise _Rude
        if what == b"3":
            bytearray(1 << 30)
        if what == b"4":
            try:
                bytearray(1 << 30)
            except MemoryError as error:
                raise DataError("a size that was believed") from error
        if what == b"5":
            ctypes.string_at(0)
        if what == b"6":
            time.sleep(30)
        assert what != b"7", "a broken promise"


TARGET = Planted()
