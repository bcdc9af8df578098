"""Draw a tile: samples side by side, and what one nonzero does to them."""

from svg import BLUE, GREEN, GREY, ORANGE, Drawing

LANES, CELL = 16, 15
INPUTS, OUTPUTS = 9, 6
#: Columns of the nonzeros, row by row.
PATTERN = [(1, 6), (0, 4, 7), (2,), (3, 5, 8), (1, 7), (4,)]
ROW, COLUMN = 3, 5  # the nonzero that is shown at work


def draw() -> Drawing:
    """Return the drawing."""
    d = Drawing(800, 330, "A tile: one nonzero multiplies one contiguous run of samples")
    left, top, middle, right = 20, 88, 235, 530
    d.words(left, 26, "weights W", bold=True)
    d.words(left, 46, "outputs × inputs, only nonzeros", size=12)
    d.grid(left, top, OUTPUTS, INPUTS, CELL)
    for i, columns in enumerate(PATTERN):
        for j in columns:
            chosen = (i, j) == (ROW, COLUMN)
            d.box(left + j * CELL, top + i * CELL, CELL, CELL, ORANGE if chosen else GREY,
                  0.9 if chosen else 0.45)  # fmt: skip
    d.words(left, top + OUTPUTS * CELL + 22, f"w[{ROW}, {COLUMN}]", ORANGE, bold=True)

    d.words(middle, 26, "a tile of x", bold=True)
    d.words(middle, 46, f"features × {LANES} lanes (samples)", size=12)
    d.grid(middle, top, INPUTS, LANES, CELL)
    d.box(middle, top + COLUMN * CELL, LANES * CELL, CELL, BLUE, 0.6)
    d.words(middle, top + INPUTS * CELL + 22, f"x[tile, {COLUMN}, :]", BLUE, bold=True)
    d.words(middle, top + INPUTS * CELL + 42, "contiguous in memory: one wide load", size=12)

    d.words(right, 26, "a tile of y", bold=True)
    d.words(right, 46, f"features × {LANES} lanes", size=12)
    d.grid(right, top, OUTPUTS, LANES, CELL)
    d.box(right, top + ROW * CELL, LANES * CELL, CELL, GREEN, 0.6)
    d.words(right, top + OUTPUTS * CELL + 22, f"y[tile, {ROW}, :]", GREEN, bold=True)
    d.words(right, top + OUTPUTS * CELL + 42, "stays in registers", size=12)

    line = top + (ROW + 0.5) * CELL
    d.line([(left + (COLUMN + 1) * CELL, line), (middle - 28, line),
            (middle - 28, top + (COLUMN + 0.5) * CELL), (middle - 4, top + (COLUMN + 0.5) * CELL)],
           ORANGE, arrow=True)  # fmt: skip
    end = middle + LANES * CELL
    d.line([(end + 2, top + (COLUMN + 0.5) * CELL), (end + 28, top + (COLUMN + 0.5) * CELL),
            (end + 28, line), (right - 4, line)], BLUE, arrow=True)  # fmt: skip
    d.words(400, 316, f"y[tile, {ROW}, :]  +=  w[{ROW}, {COLUMN}]  ×  x[tile, {COLUMN}, :]",
            size=16, anchor="middle", bold=True)  # fmt: skip
    return d


if __name__ == "__main__":
    draw().save(__file__)
