"""Numbers in tables are read to the float64 nearest to them, as ``float`` reads them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sparsecpu.kernels.column_roles import GOAL, NUMBER, SKIPPED, TEXT
from sparsecpu.kernels.table_rows import powers_of_five, read_rows


def read(text, roles, separator=",", decimal="."):
    """Return numbers, targets, texts and lines of the plain rows, and where the next row is."""
    text = np.frombuffer(text, dtype=np.uint8)
    rows = len(text)
    x, goal = np.zeros((rows, roles.count(NUMBER))), np.zeros(rows)
    spans = np.zeros((rows, roles.count(TEXT), 2), dtype=np.int64)
    lines = np.zeros(rows, dtype=np.int64)
    count, at, line = read_rows(
        text, 0, len(text), ord(separator), ord(decimal), np.array(roles, dtype=np.int8),
        x.view(np.uint64), goal.view(np.uint64), spans, lines, 1, powers_of_five(),
    )  # fmt: skip
    assert line == bytes(text[:at]).count(b"\n") + 1
    texts = [[bytes(text[b:e]).decode() for b, e in row] for row in spans[:count].tolist()]
    return x[:count], goal[:count], texts, lines[:count].tolist(), at


DIGITS = st.text("0123456789", min_size=1, max_size=19)
SPELLED = st.builds(
    "{}{}.{}e{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS, st.integers(-330, 310)
)
#: Halfway between two floats, exactly or nearly so.
HALFWAY = st.builds(
    lambda m, e, end: f"{(2 * m + 1) * 2**e}{end}",
    st.integers(2**52, 2**53 - 1), st.integers(0, 9), st.sampled_from([".0", "e-1", "e2", ".1"]),
)  # fmt: skip
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE.map(repr) | FINITE.map("{:.17g}".format) | SPELLED | HALFWAY, min_size=1))
@example(["9007199254740992.5", "9007199254740993.0", "9007199254740993e0", "0.1e23", "1e23"])
@example(["-0", "0.0e-999", "-.5", "5.", "2.2250738585072014e-308", "1.7976931348623157e308"])
@settings(max_examples=150)
def test_numbers_are_those_of_python(cells):
    plain = 0
    for cell in cells:
        x, _, _, _, at = read(cell.encode() + b"\n", [NUMBER])
        if at:  # else it is left to Python
            assert x.tobytes() == np.float64(cell).tobytes(), cell
            plain += 1
    short = [cell for cell in cells if len(cell) < 17 and 1e-300 < abs(float(cell)) < 1e300]
    assert plain >= len(short)


@pytest.mark.parametrize(
    "cell",
    ["", " ", "x", "1x", "--1", "1e", "1e+", ".", "-", "1..2", "1_0", "nan", "inf", "0x10", "1 2",
     "9007199254740993", "1" * 20, '"1', '1"', "1\t2", "1\0", "1e400", "4e-324", '"1"2',
     ' "1"', "\t1", "é"],
)  # fmt: skip
def test_what_is_no_plain_number_is_left_to_others(cell):
    x, _, _, _, at = read(f"1,2\n{cell},3\n4,5\n".encode(), [NUMBER, NUMBER])
    assert x.tolist() == [[1, 2]]
    assert at == 4


def test_rows_are_cut_as_they_are_written():
    roles = [NUMBER, TEXT, SKIPPED, GOAL]
    text = b'1, a b ,"x,y",7\n\n"2","c,d",,"8.5"\n 3 ,,z,9\n4,"e""f",z,1\n'
    x, goal, texts, lines, at = read(text, roles)
    assert x[:, 0].tolist() == [1, 2, 3]
    assert goal.tolist() == [7, 8.5, 9]
    assert texts == [[" a b "], ["c,d"], [""]]
    assert lines == [1, 3, 4]
    assert text[at:].startswith(b"4,")
    x, _, texts, _, at = read(b"  1,5   a  \n2   b\n3 c d\n", [NUMBER, TEXT], " ", ",")
    assert (x[:, 0].tolist(), texts) == ([1.5, 2], [["a"], ["b"]])
