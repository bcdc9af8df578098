"""Damage to our own archives: arrays, the header's JSON, or the bytes of it all."""

import io
import json
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.alter_archive import alter_archive
from tests.fuzz.alter_bytes import alter_bytes
from tests.fuzz.alter_json import alter_json_text
from tests.fuzz.zips import Array, Member, write_zip


class Saved:
    """An archive that we wrote, taken apart: its header as plain values, and its arrays."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        with np.load(io.BytesIO(content)) as archive:
            arrays = {name: archive[name] for name in archive.files}
        self.header: Any = json.loads(arrays.pop("header").tobytes())
        self.arrays = arrays

    def members(self, header: bytes | None = None) -> dict[str, Array]:
        """Return all members, perhaps with another text of the header."""
        text = json.dumps(self.header).encode() if header is None else header
        arrays = {"header": np.frombuffer(text, np.uint8), **self.arrays}
        return {name: Array.of(array) for name, array in arrays.items()}

    def altered(self, rng: Random) -> bytes:
        """Return the archive with damage somewhere."""
        choice = rng.randrange(10)
        if choice == 0:
            return alter_bytes(rng, self.content, self.content)
        if choice <= 4:
            return _written(self.members(alter_json_text(rng, self.header)))
        if choice <= 7:
            return _written(self._with_odd_values(rng))
        return alter_archive(rng, self.members(), honest=choice == 8)

    def _with_odd_values(self, rng: Random) -> dict[str, Array]:
        """Change arrays as NumPy can hold them: values, sizes, types, places of arrays."""
        arrays = {"header": np.frombuffer(json.dumps(self.header).encode(), np.uint8)}
        arrays |= {name: array.copy() for name, array in self.arrays.items()}
        for _ in range(rng.randint(1, 2)):
            name, other = rng.choice(sorted(self.arrays)), rng.choice(sorted(self.arrays))
            if name in arrays:
                rng.choice(_CHANGES)(rng, arrays, name, other)
        return {name: Array.of(array) for name, array in arrays.items()}


def _written(arrays: dict[str, Array]) -> bytes:
    return write_zip([Member(f"{name}.npy", array.content()) for name, array in arrays.items()])


def _value(rng, arrays, name, other):
    array = arrays[name]
    if array.size:
        odd = (np.nan, np.inf, -np.inf, 3e38, 1e-40, -1.0, 0.0)
        if array.dtype.kind != "f":
            odd = (0, 1, -1, 127, 2**31 - 1, array.size, int(array.flat[0]) + 1)
        with np.errstate(all="ignore"):
            chosen = np.array(rng.choice(odd)).astype(array.dtype)
        array.flat[rng.randrange(array.size)] = chosen


def _all_values(rng, arrays, name, other):
    with np.errstate(all="ignore"):
        changed = arrays[name] * rng.choice((0.0, -1.0, 2.0, 1e30))
        arrays[name] = changed.astype(arrays[name].dtype)


def _shift(rng, arrays, name, other):
    if arrays[name].dtype.kind in "iu":
        arrays[name] = arrays[name] + arrays[name].dtype.type(rng.choice((1, 2, 5)))


def _size(rng, arrays, name, other):
    array = arrays[name]
    arrays[name] = rng.choice((array[:1], array[:-1], array[:0], np.repeat(array, 2, axis=0)))


def _shape(rng, arrays, name, other):
    array = arrays[name]
    arrays[name] = rng.choice((array.reshape(-1, 1), array.reshape(-1), array[None]))


def _type(rng, arrays, name, other):
    with np.errstate(all="ignore"):
        arrays[name] = arrays[name].astype(rng.choice(("f4", "f8", "i4", "i8", "u1", "?")))


def _swap(rng, arrays, name, other):
    if other in arrays:
        arrays[name], arrays[other] = arrays[other], arrays[name]


def _shuffle(rng, arrays, name, other):
    arrays[name] = arrays[name][::-1]


def _drop(rng, arrays, name, other):
    del arrays[name]


def _rename(rng, arrays, name, other):
    new = rng.choice((f"{name}x", name.upper(), f"extra/{name}", name[6:], other, "__class__"))
    arrays[new] = arrays.pop(name)


def _add(rng, arrays, name, other):
    arrays[rng.choice((f"{name}2", "extra/x", "extra/slot/x", f"{name}/x"))] = arrays.get(
        other, arrays[name]
    )


_CHANGES = (_value, _value, _value, _value, _all_values, _shift, _size, _shape, _type, _swap,
            _shuffle, _drop, _rename, _add)  # fmt: skip
