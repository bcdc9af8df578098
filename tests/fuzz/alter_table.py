"""Damage to tables of text: separators, quotes, spellings of numbers, encodings, sizes."""

from random import Random

from tests.fuzz.alter_bytes import alter_bytes

_CELLS = (
    "", " ", "0", "-0", "1e308", "1e309", "-1e400", "1e-400", "5e-324", "3.5e38", "nan", "NaN",
    "inf", "-Infinity", "1_000", "1__0", "_1", "0x10", "1e", "e1", ".", "+", "-", "1.", ".5", "+1",
    "--1",
    "1,5", "1;5", "1 5", "١٢", "１２", "½", "−1", "1\u00a0", "\u20071", "\ufeff1", "true", "None",
    "1\0", "\0", '"', '""', '"1"', "'1'", '"a\nb"', '"1', "a\rb", "9" * 400, "9007199254740993",
    "9223372036854775808", "1" + "0" * 309, "1e16", "\x1b[2J", "\ud800", "é", "a" * 2000, "#",
    "=1+1", "1L", "1d0", "1f", "0.1e1.0", "٠", "\x1c", "\x851", "1\t", "01",
)  # fmt: skip
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp037")


def alter_table(rng: Random, rows: list[list[str]], separator: str = ",", most: int = 3) -> bytes:
    """Return the text of a table with one to ``most`` changes, to cells or to bytes."""
    rows = [list(row) for row in rows]
    style = {"separator": separator, "newline": "\n"}
    for _ in range(rng.randint(1, most)):
        rng.choice(_CHANGES)(rng, rows, style)
    text = style["newline"].join(style["separator"].join(row) for row in rows) + style["newline"]
    content = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.04:
        content = text.encode(rng.choice(_ENCODINGS), "replace")
    if rng.random() < 0.2:
        content = alter_bytes(rng, content, content)
    return content


def _place(rng, rows):
    if not any(rows):
        rows.append(["1", "2"])
    row = rng.choice([row for row in rows if row])
    return row, rng.randrange(len(row))


def _cell(rng, rows, style):
    row, at = _place(rng, rows)
    row[at] = rng.choice(_CELLS)


def _around(rng, rows, style):
    row, at = _place(rng, rows)
    odd = rng.choice(
        ("\0", " ", "\t", '"', "'", "\r", "\n", "\x0b", "\u2028", "\ufeff", "_", "e", ".")
    )
    row[at] = rng.choice((odd + row[at], row[at] + odd, row[at][:1] + odd + row[at][1:]))


def _column(rng, rows, style):
    _, at = _place(rng, rows)
    value = rng.choice(_CELLS)
    for row in rows:
        if at < len(row):
            row[at] = value


def _row(rng, rows, style):
    row, _ = _place(rng, rows)
    row[:] = [rng.choice(_CELLS) for _ in row]


def _insert(rng, rows, style):
    row, at = _place(rng, rows)
    row.insert(at, rng.choice(("7", *_CELLS)))


def _drop(rng, rows, style):
    row, at = _place(rng, rows)
    del row[at]


def _drop_column(rng, rows, style):
    _, at = _place(rng, rows)
    for row in rows:
        del row[at : at + 1]


def _rows(rng, rows, style):
    i = rng.randrange(len(rows) + 1)
    choice = rng.randrange(4)
    if choice == 0:
        del rows[i:]
    elif choice == 1:
        del rows[:i]
    elif choice == 2:
        rows.insert(i, [])
    else:
        rows[i:i] = [list(row) for row in rows[: rng.randint(1, 3)]]


def _style(rng, rows, style):
    style[rng.choice(tuple(style))] = rng.choice((";", "\t", " ", "\r\n", "\r", "\n\n", "\0", ",,"))


def _quoted(rng, rows, style):
    row, at = _place(rng, rows)
    row[at] = f'"{row[at]}"' if rng.random() < 0.5 else f'"{row[at]}\n{row[at]}"'


def _huge(rng, rows, style):
    """A field beyond the reader's limit, or many of them: rare, as it is slow."""
    if rng.random() < 0.95:
        return _cell(rng, rows, style)
    row, at = _place(rng, rows)
    if rng.random() < 0.5:
        row[at] = rng.choice(("9", "a", '"', "\0")) * rng.choice((5000, 131_072, 131_073, 300_000))
    else:
        row[at:at] = ["1"] * rng.choice((200, 3000))
    return None


_CHANGES = (
    _cell, _cell, _cell, _cell, _around, _around, _column, _row, _insert, _drop, _drop_column,
    _rows, _style, _quoted, _huge,
)  # fmt: skip
