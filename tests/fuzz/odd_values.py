"""Arguments that are wrong in one way, or right: numbers, arrays, sparse matrices."""

import contextlib

import numpy as np
from scipy import sparse

NUMBERS = [
    -5, -1, 0, 1, 2, 3, True, np.True_, 2.5, 2.0, np.nan, np.inf, -np.inf, "3", "", None, 1 << 31,
    1 << 40, -(1 << 63), 1 << 64, np.int64(2), np.float32(2), np.uint8(3), [], [2], (1, 2), 1j,
    np.array(2), np.array([2]), {}, object(),
]  # fmt: skip
DTYPES = [
    "i1", "u1", "i2", "i4", "i8", "u4", "u8", "f2", "f4", "f8", "g", ">f4", ">i8", "?", "c8", "O",
    "U3", "S3", "M8[s]", "m8[s]", [("a", "i4")],
]  # fmt: skip


def pick(rng, things):
    """Return one of some things, which need not be alike."""
    return things[int(rng.integers(len(things)))]


def odd_array(rng, array):
    """Return an array, perhaps with one thing wrong."""
    return pick(rng, _ARRAYS)(rng, np.array(array))


def _misaligned(rng, array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def _put(rng, array, value):
    if not array.size:
        return array
    array = array.copy()
    with contextlib.suppress(OverflowError, ValueError):
        array.reshape(-1)[int(rng.integers(array.size))] = value
    return array


def _cast(rng, array):
    try:
        return array.astype(pick(rng, DTYPES))
    except (TypeError, ValueError, OverflowError):
        return array


def _longer(rng, array):
    return np.concatenate([array] * int(rng.integers(2, 4))) if array.ndim else array


def _frozen(rng, array):
    array = array.copy()
    array.setflags(write=False)
    return array


_ARRAYS = [
    lambda rng, a: a,
    lambda rng, a: a[: int(rng.integers(0, max(1, len(a))))] if a.ndim else a,
    lambda rng, a: a[..., :-1] if a.ndim else a,
    lambda rng, a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    lambda rng, a: a[::-1] if a.ndim else a,
    lambda rng, a: a.T,
    lambda rng, a: np.asfortranarray(a),
    lambda rng, a: a[None],
    lambda rng, a: a[..., None],
    lambda rng, a: a.reshape(-1),
    lambda rng, a: a.tolist(),
    lambda rng, a: np.broadcast_to(a.reshape(-1)[:1], a.shape) if a.size else a,
    lambda rng, a: np.array(3),
    lambda rng, a: [[1, 2], [3]],
    lambda rng, a: pick(rng, NUMBERS),
    _longer, _frozen, _misaligned, _cast, _cast, _cast,
    *(lambda rng, a, v=v: _put(rng, a, v)
      for v in (-1, -7, 1 << 20, (1 << 31) - 1, 1 << 40, -(1 << 62), np.nan, np.inf)),
]  # fmt: skip


def odd_number(rng, good):
    """Return a number, perhaps a wrong one."""
    return good if rng.random() < 0.3 else pick(rng, NUMBERS)


def matrix(rng, shape):
    """Return a valid sparse matrix."""
    return sparse.random_array(shape, density=0.3, rng=rng, dtype=np.float32)


def odd_matrix(rng, shape):
    """Return a SciPy matrix of any format, perhaps with one of its arrays broken."""
    if rng.random() < 0.1:
        shape = pick(rng, [(shape[0], shape[1] + 1), (shape[1], shape[0]), (0, shape[1])])
    made = matrix(rng, shape)
    kind = pick(rng, ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
    made = made.asformat(kind)
    if rng.random() < 0.2:
        made = made.tocsr()
        made.indices = made.indices[::-1].copy()  # out of order, or in another row
    names = {"coo": ["data", "coords"], "dia": ["data", "offsets"], "lil": ["rows", "data"],
             "dok": []}.get(made.format, _COMPRESSED)  # fmt: skip
    if names and rng.random() < 0.8:
        name = pick(rng, names)
        old = getattr(made, name)
        if name == "coords":
            made.coords = tuple(odd_array(rng, old[i]) if i == 0 else old[i] for i in (0, 1))
        else:
            setattr(made, name, _odd_part(rng, made, name, old))
    if made.format == "dok" and rng.random() < 0.5:
        made._dict[pick(rng, [(-1, 0), (99, 0), (0, 10**12), "a", (1,), (0.5, 1)])] = 1.0
    if rng.random() < 0.1:
        made._shape = pick(rng, [(shape[0], 1), (1, 1), (10**6, shape[1]), (-1, 2), (3,)])
    return made


_COMPRESSED = ["indptr", "indices", "data", "indptr", "indices"]


def _odd_part(rng, made, name, old):
    if made.format != "lil":
        return odd_array(rng, old)
    rows = old.copy()
    if len(rows):
        rows[int(rng.integers(len(rows)))] = pick(
            rng, [[-1], [10**9], [0.5], ["a"], None, 3, [[1]]]
        )
    return rows[:-1] if rng.random() < 0.2 else rows
