"""Damage to bytes of any kind."""

from random import Random

#: Numbers at which sizes and counts go wrong.
BOUNDARIES = (
    0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 511, 1024, 4095, 32767, 32768, 65535, 65536,
    2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip


def boundary(rng: Random) -> int:
    """Return a number near one of the boundaries; one in four is below 0."""
    value = rng.choice(BOUNDARIES) + rng.choice((0, 0, 0, 1, -1))
    return -value if rng.random() < 0.25 else value


def alter_bytes(rng: Random, content: bytes, other: bytes = b"", most: int = 3) -> bytes:
    """Return bytes with one to ``most`` changes; ``other`` is what pieces may come from."""
    for _ in range(rng.randint(1, most)):
        content = rng.choice(_CHANGES)(rng, content, other)
    return content


def set_integer(rng: Random, content: bytes, at: int, width: int) -> bytes:
    """Return bytes with a boundary value, of either byte order, at a place."""
    value = boundary(rng) % (1 << (8 * width))
    piece = value.to_bytes(width, rng.choice(("little", "big")))
    return content[:at] + piece + content[at + width :]


def _flip(rng, content, other):
    if not content:
        return b"\0"
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_byte(rng, content, other):
    at = rng.randrange(len(content) + 1)
    return content[:at] + bytes([rng.choice((0, 1, 127, 128, 255, 10, 34, 44))]) + content[at + 1 :]


def _truncate(rng, content, other):
    return content[: rng.randrange(len(content) + 1)]


def _behead(rng, content, other):
    return content[rng.randrange(min(len(content), 64) + 1) :]


def _append(rng, content, other):
    return content + rng.choice((b"\0", b"\xff" * 9, b"x" * 4096, content[:64], other[-64:]))


def _remove(rng, content, other):
    at, length = _piece(rng, content)
    return content[:at] + content[at + length :]


def _repeat(rng, content, other):
    at, length = _piece(rng, content)
    return (
        content[:at] + content[at : at + length] * rng.choice((2, 3, 17)) + content[at + length :]
    )


def _splice(rng, content, other):
    """Put a piece of the other bytes in the place of one of these."""
    at, length = _piece(rng, content)
    start, count = _piece(rng, other)
    return content[:at] + other[start : start + count] + content[at + length :]


def _swap(rng, content, other):
    at, length = _piece(rng, content)
    middle = at + length // 2
    return (
        content[:at] + content[middle : at + length] + content[at:middle] + content[at + length :]
    )


def _zero(rng, content, other):
    at, length = _piece(rng, content)
    return content[:at] + rng.choice((b"\0", b"\xff")) * length + content[at + length :]


def _integer(rng, content, other):
    width = rng.choice((2, 4, 4, 8))
    at = rng.randrange(max(1, min(len(content), rng.choice((16, 64, 1 << 30))) - width + 1))
    return set_integer(rng, content, at, width)


def _piece(rng, content):
    """Return where a piece of bytes begins and how long it is."""
    at = rng.randrange(len(content) + 1)
    return at, min(len(content) - at, rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


_CHANGES = (
    _flip, _flip, _flip, _set_byte, _truncate, _behead, _append, _remove, _repeat, _splice, _swap,
    _zero, _integer, _integer, _integer,
)  # fmt: skip
