"""Damage to archives of arrays: what an ``.npz`` may hold that nobody meant."""

from dataclasses import replace
from random import Random

from tests.fuzz.alter_bytes import alter_bytes, boundary
from tests.fuzz.zips import END, FIELDS, Array, Member, bomb, write_zip

_TYPES = (
    "<f4", "<f8", "<f2", "<i4", "<i8", "<u4", "<u8", "|u1", "|i1", "|b1", ">f4", ">i8", "<c8", "|O",
    "<U3", "|S2", "|V8", "<M8[s]", "<m8", "<f16", "f", "", "<f4,<i4", "|S0", "<U0", "|V0", "V",
    [("a", "<f4")], [("a", "|O")], [("a", "<f4", (2,))], [], None, 4, ("<f4", (2,)), "<f9", "|u1 ",
)  # fmt: skip
_SHAPES = (
    (), (0,), (1,), (-1,), (0, 5), (5, 0), (2**31,), (2**62, 4), (2**63,), (10**30,), (1,) * 64,
    (1,) * 65, (2.0,), ("3",), (None,), (True,), 3, None, [3], (2**40, 0), (2**64,), (-3, -2),
)  # fmt: skip
_NAMES = (
    "", "x", "y", "X", "x_train", "header", "../../x", "/etc/x", "a/b", "é", "\0", "a" * 300,
    "x.npy", "\n", "vectors", "data", "__class__",
)  # fmt: skip


def alter_archive(
    rng: Random, arrays: dict[str, Array], most: int = 3, *, honest: bool = False
) -> bytes:
    """Return an archive of arrays with some changes to arrays, members and bytes.

    ``honest`` archives can be read as archives: only arrays and their names change.
    """
    listed = [(name, array) for name, array in arrays.items()]
    where = 0 if honest else rng.randrange(8)
    if where <= 4:
        for _ in range(rng.randint(1, most)):
            rng.choice(_ARRAYS)(rng, listed)
    members = [Member(f"{name}.npy", array.content()) for name, array in listed]
    if rng.random() < 0.2:
        members = [member.deflated() for member in members]
    ends: dict[str, int] = {}
    if where in (4, 5, 6) and members:
        for _ in range(rng.randint(1, 2)):
            rng.choice(_MEMBERS)(rng, members, ends)
    content = write_zip(members, ends)
    return alter_bytes(rng, content, content) if where == 7 else content


def _pick(rng, listed):
    return rng.randrange(len(listed)) if listed else None


def changes_one(change):
    """Make a change to the arrays out of one to an array."""

    def changed(rng, listed):
        i = _pick(rng, listed)
        if i is not None:
            listed[i] = (listed[i][0], change(rng, listed[i][1]))

    return changed


def _rename(rng, listed):
    i = _pick(rng, listed)
    if i is not None:
        listed[i] = (rng.choice((*_NAMES, listed[_pick(rng, listed)][0])), listed[i][1])


def _swap_names(rng, listed):
    i, j = _pick(rng, listed), _pick(rng, listed)
    if i is not None:
        (a, first), (b, second) = listed[i], listed[j]
        listed[i], listed[j] = (a, second), (b, first)


def _duplicate(rng, listed):
    i = _pick(rng, listed)
    if i is not None:
        listed.insert(rng.randrange(len(listed) + 1), listed[i])


def _remove(rng, listed):
    i = _pick(rng, listed)
    if i is not None:
        del listed[i]


def _add(rng, listed):
    listed.append((rng.choice(_NAMES), Array(rng.choice(_TYPES), rng.choice(_SHAPES), b"\0" * 16)))


def _retype(rng, array):
    """Say another type, with or without the bytes that it needs."""
    changed = replace(array, descr=rng.choice(_TYPES))
    return _refit(changed) if rng.random() < 0.6 else changed


def _reshape(rng, array):
    """Say another shape: any, or one near the true one."""
    shape = rng.choice(_SHAPES)
    if isinstance(array.shape, tuple) and rng.random() < 0.6:
        dims = [n for n in array.shape if type(n) is int]
        change = rng.randrange(6)
        if change == 0 and dims:
            dims[rng.randrange(len(dims))] = boundary(rng)
        elif change == 1 and dims:
            dims[rng.randrange(len(dims))] += rng.choice((-1, 1))
        elif change == 2:
            dims.insert(rng.randrange(len(dims) + 1), rng.choice((0, 1, 1, 2)))
        elif change == 3 and dims:
            del dims[rng.randrange(len(dims))]
        elif change == 4:
            dims.reverse()
        else:
            dims = [_product(dims)]
        shape = tuple(dims)
    changed = replace(array, shape=shape)
    return _refit(changed) if rng.random() < 0.5 else changed


def _reorder(rng, array):
    return replace(array, fortran=rng.choice((True, True, False, 1, None, "x")))


def _new_version(rng, array):
    return replace(array, version=rng.choice(((2, 0), (3, 0), (0, 0), (1, 1), (255, 255))))


def _new_values(rng, array):
    """Put an odd number into the data, in the array's own type where it has one."""
    width = (
        int(array.descr[2:]) if isinstance(array.descr, str) and array.descr[2:].isdigit() else 4
    )
    if not 1 <= width <= 16 or len(array.data) < width:
        return replace(array, data=alter_bytes(rng, array.data))
    at = rng.randrange(len(array.data) // width) * width
    return replace(array, data=array.data[:at] + _odd_value(rng, width) + array.data[at + width :])


def _data_bytes(rng, array):
    return replace(array, data=alter_bytes(rng, array.data, array.data))


def _odd_value(rng, width):
    """Return the bytes of a number at a boundary, or of NaN or infinity where it is a float."""
    zeros = bytes(width)
    tail = rng.choice(
        (b"\x80\x7f", b"\x80\xff", b"\xf0\x7f", b"\xc0\x7f", b"\x00\x7c", b"\x7f\x7f")
    )
    if rng.random() < 0.5:
        return (zeros + tail)[-width:]
    return (boundary(rng) % (1 << 64)).to_bytes(16, rng.choice(("little", "big")))[:width]


def _product(dims):
    product = 1
    for n in dims:
        product *= n
    return product


def _refit(array):
    """Give an array as many bytes as it says, where that is few."""
    import numpy as np

    try:
        size = _product(array.shape) * np.dtype(array.descr).itemsize
    except Exception:  # nothing says how many bytes a shape or type of nonsense needs
        return array
    if not isinstance(size, int) or not 0 <= size <= 1 << 16:
        return array
    return replace(array, data=(array.data * (size // max(1, len(array.data)) + 1))[:size])


_ARRAYS = (
    _rename, _swap_names, _duplicate, _remove, _add, *map(changes_one, (_retype, _retype, _reshape,
    _reshape, _reorder, _new_version, _new_values, _new_values, _new_values, _data_bytes)),
)  # fmt: skip


def _deflate(rng, members, ends):
    i = _pick(rng, members)
    members[i] = members[i].deflated()


def _lie(rng, members, ends):
    """Let a record of a member say something else, in both places or in one."""
    i, name = _pick(rng, members), rng.choice((*FIELDS, "packed", "size", "offset", "method"))
    value = boundary(rng)
    if name == "method":
        value = rng.choice((0, 1, 8, 9, 12, 14, 93, 99))
    member, where = members[i], rng.randrange(3)
    lies = {**member.lies, name: value} if where != 1 else member.lies
    local = {**member.local_lies, name: value} if where != 0 and name != "offset" else {}
    members[i] = replace(member, lies=lies, local_lies=local)


def _lie_at_the_end(rng, members, ends):
    ends[rng.choice(tuple(END))] = boundary(rng)


def _damage(rng, members, ends):
    """Change the bytes of a member; its checksum is right again."""
    i = _pick(rng, members)
    members[i] = replace(members[i], content=alter_bytes(rng, members[i].content), packed=None)


def _header_text(rng, members, ends):
    """Change the text of a member's header."""
    i = _pick(rng, members)
    content = members[i].content
    head, rest = content[:10], content[10:]
    text = rest[: rest.find(b"\n")].rstrip()
    old, new = rng.choice(_TEXTS)
    text = text.replace(old, new) if rng.random() < 0.7 else alter_bytes(rng, text, text)
    text = text.ljust(rest.find(b"\n")) + b"\n"
    head = head[:8] + (len(text) & 0xFFFF).to_bytes(2, "little")
    members[i] = replace(
        members[i], content=head + text + rest[rest.find(b"\n") + 1 :], packed=None
    )


def _nest(rng, members, ends):
    """Put the archive into itself."""
    members.append(Member(rng.choice(("x.npy", "inner.npz")), write_zip(members)))


def _no_suffix(rng, members, ends):
    i = _pick(rng, members)
    name = rng.choice((members[i].name[:-4], members[i].name + "/", members[i].name.upper()))
    members[i] = replace(members[i], name=name)


def _explode(rng, members, ends):
    """Let a member, or one that nobody asked for, unpack to 600 MB."""
    if rng.random() < 0.995:  # it takes long to unpack
        return _deflate(rng, members, ends)
    i, shape = _pick(rng, members), rng.choice(((157286400,), (1, 157286400), (12288, 12800)))
    head = Array("<f4", shape, b"").content()
    packed, crc = bomb(600, head)
    name = members[i].name if rng.random() < 0.5 else "unused.npy"
    lies = {"crc": crc}
    bad = Member(name, b"", packed, (600 << 20) + len(head), lies, lies)
    members[i : i + rng.randrange(2)] = [bad]
    return None


_TEXTS = (
    (b"(", b"("*300), (b")", b",)"), (b"descr", b"descry"), (b"False", b"0"), (b"'", b'"'),
    (b"shape", b"fortran_order"), (b"{", b"["), (b"(", b"(10**8,"), (b"(", b"(9**9**9,"),
    (b"'<", b"b'<"), (b"}", b", 'x': 1}"), (b"(", b"("+b"1,"*200), (b"'", b"\0"), (b"(", b"(0x"),
    (b"<f4", b"<f4\xff"), (b" ", b"\n"), (b"(", b"-("), (b"(", b"(1_0,"), (b"(", b"(1L,"),
)  # fmt: skip
_MEMBERS = (
    _deflate, _lie, _lie, _lie, _lie, _lie_at_the_end, _damage, _damage, _header_text, _header_text,
    _nest, _no_suffix, _explode,
)  # fmt: skip
