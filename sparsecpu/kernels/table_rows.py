"""Rows of a table from its bytes, as long as they are plain.

A decimal number is read to the float64 nearest to it, by one product of 64 and 128 bits, after
D. Lemire, *Number parsing at a gigabyte per second*, 2021. Whatever needs more than that (long
numbers, quotes inside quotes, text where a number should be) is left to the caller.
"""

from __future__ import annotations

import functools

import numpy as np

from sparsecpu.kernels.column_roles import EMPTY, GOAL, NUMBER, TEXT
from sparsecpu.kernels.machine.compile import kernel

_LEAST, _MOST = -342, 308
_ONE, _TEN, _HALF = np.uint64(1), np.uint64(10), np.uint64(32)
_LOW, _ALL = np.uint64(2**32 - 1), np.uint64(2**64 - 1)
_TOP, _SIGN = np.uint64(63), np.uint64(1 << 63)
#: Bits of the product that tell nothing yet about how a number is rounded.
_UNSURE = np.uint64(2**9 - 1)
_EXACT, _HIDDEN = np.uint64(1 << 53), np.uint64(1 << 52)
_NEWLINE, _BLANK, _QUOTE, _NONE = 10, 32, 34, 256
#: Characters of the longest plain cell; Python's reader refuses some longer ones.
_LONGEST = 1 << 16


@functools.cache
def powers_of_five() -> np.ndarray:
    """Return 5**q from q = -342 to 308: 128 bits of each, as two uint64."""
    found = np.empty((_MOST - _LEAST + 1, 2), dtype=np.uint64)
    for q in range(_LEAST, _MOST + 1):
        power = 5 ** abs(q)
        if q < 0:  # rounded up as far as there may be halfway cases, which would look smaller
            more = power.bit_length() + 128 if q < -27 else 127
            power = (1 << (power.bit_length() + more)) // power + 1
        shift = power.bit_length() - 128
        power = power >> shift if shift > 0 else power << -shift
        found[q - _LEAST] = power >> 64, power & (2**64 - 1)
    return found


@kernel()
def _product(a, b):
    """Return the upper and the lower half of a product."""
    a1, a0, b1, b0 = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low = a0 * b0
    one = a1 * b0 + (low >> _HALF)
    two = a0 * b1 + (one & _LOW)
    return a1 * b1 + (one >> _HALF) + (two >> _HALF), (two << _HALF) | (low & _LOW)


@kernel()
def _nearest(w, q, powers):
    """Return whether ``w 10**q`` could be read, and the bits of the float64 nearest to it."""
    if w == 0:
        return True, w
    if q < _LEAST or q > _MOST:
        return False, w
    lead, shift = 0, 32
    while shift:  # zeros in front
        if w >> np.uint64(64 - shift) == 0:
            w = w << np.uint64(shift)
            lead += shift
        shift //= 2
    high, low = _product(w, powers[q - _LEAST, 0])
    if high & _UNSURE == _UNSURE:
        more, _ = _product(w, powers[q - _LEAST, 1])
        low += more
        if more > low:
            high += _ONE
        if low == _ALL and not -27 <= q <= 55:
            return False, w
    upper = high >> _TOP
    drop = upper + np.uint64(9)
    mantissa = high >> drop
    exponent = ((217706 * q) >> 16) + 63 + np.int64(upper) - lead + 1023
    if exponent <= 0 or exponent >= 2046:
        return False, w
    halfway = low <= _ONE and -4 <= q <= 23 and mantissa << drop == high
    if halfway and mantissa & np.uint64(3) == _ONE:  # to the even one
        mantissa &= ~_ONE
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    if mantissa >= _EXACT:
        mantissa, exponent = _HIDDEN, exponent + 1
    return True, (mantissa & (_HIDDEN - _ONE)) | (np.uint64(exponent) << np.uint64(52))


@kernel()
def _number(text, at, decimal, powers):
    """Return where a number ends that begins at ``at``, -1 if it is no plain one, and its bits."""
    negative = text[at] == 45
    at += negative or text[at] == 43
    w, seen, digits, q, whole = np.uint64(0), 0, 0, 0, True
    while True:
        byte = text[at]
        if 48 <= byte <= 57:
            w = w * _TEN + np.uint64(byte - 48)
            digits += w != 0
            seen += 1
            q -= not whole
        elif byte == decimal and whole:
            whole = False
        else:
            break
        at += 1
    if seen == 0 or digits > 19 or seen > _LONGEST:
        return -1, w
    if byte == 69 or byte == 101:
        whole = False
        at += 1
        minus = text[at] == 45
        at += minus or text[at] == 43
        if not 48 <= text[at] <= 57:
            return -1, w
        power = 0
        while 48 <= text[at] <= 57:
            power = min(10 * power + (text[at] - 48), 10000)
            at += 1
        q += -power if minus else power
    if whole and w > _EXACT:  # a float may stand for two of them
        return -1, w
    good, bits = _nearest(w, q, powers)
    return at if good else -1, bits | _SIGN if negative else bits


@kernel()
def _text_end(text, at, separator):
    """Return first and last byte of a cell of text, and where it ends; -1 if it is not plain."""
    if text[at] == _QUOTE:
        begin = at + 1
        at = begin
        while text[at] != _QUOTE and text[at] != _NEWLINE:
            if text[at] == 0:
                return 0, 0, -1
            at += 1
        end = at
        at += 1
        plain = text[end] == _QUOTE and (text[at] == separator or text[at] == _NEWLINE)
        return begin, end, at if plain and end - begin <= _LONGEST else -1
    begin = at
    while text[at] != separator and text[at] != _NEWLINE:
        if text[at] == 0:
            return 0, 0, -1
        at += 1
    return begin, at, at if at - begin <= _LONGEST else -1


@kernel()
def _row(text, at, separator, decimal, roles, bits, goals, row, spans, powers):
    """Return where a row ends (at its newline), -1 if it is not plain."""
    numbers = texts = 0
    for column in range(roles.shape[0]):
        if column:
            if text[at] != separator:
                return -1
            at += 1
        role = roles[column]
        number = role in (NUMBER, GOAL)
        start = at
        while (number or separator == _BLANK) and text[at] == _BLANK:
            at += 1
        if text[at] == _QUOTE and at > start and separator != _BLANK:
            return -1  # a sign like others, behind a blank
        if number:
            quoted = text[at] == _QUOTE
            point = decimal if quoted or decimal != separator else _NONE
            at, found = _number(text, at + quoted, point, powers)
            if at < 0 or (quoted and text[at] != _QUOTE):
                return -1
            at += quoted
            while separator != _BLANK and text[at] == _BLANK:
                at += 1
            if role == GOAL:
                goals[row] = found
            else:
                bits[row, numbers] = found
                numbers += 1
        else:
            begin, end, at = _text_end(text, at, separator)
            if at < 0 or (role == EMPTY and end > begin):
                return -1
            if role == TEXT:
                spans[row, texts, 0], spans[row, texts, 1] = begin, end
                texts += 1
    while separator == _BLANK and text[at] == _BLANK:
        at += 1
    return at if text[at] == _NEWLINE else -1


@kernel()
def read_rows(text, begin, end, separator, decimal, roles, bits, goals, spans, lines, line, powers):
    """Read rows until one is not plain; return how many, where that one begins, and its line.

    ``text`` are bytes with a newline at ``end - 1``. Numbers go to ``bits``, the float64 that they
    are as uint64, and targets to ``goals``; of text, where it begins and ends goes to ``spans``;
    ``lines`` are those of the rows.
    """
    rows = 0
    while begin < end and rows < bits.shape[0]:
        if text[begin] == _NEWLINE:
            begin, line = begin + 1, line + 1
            continue
        stop = _row(text, begin, separator, decimal, roles, bits, goals, rows, spans, powers)
        if stop < 0:
            break
        lines[rows] = line
        rows += 1
        begin, line = stop + 1, line + 1
    return rows, begin, line
