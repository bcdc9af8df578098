"""Draw a group: four rows that share their columns, and one run of samples that serves them all."""

from svg import BLUE, GREEN, GREY, ORANGE, Drawing

LANES, CELL = 16, 14
GROUP, INPUTS, OUTPUTS = 4, 12, 8
#: Shared columns of the two groups.
PATTERN = [(1, 4, 9), (0, 6, 7, 11)]
COLUMN = 4  # the shared column of the first group that is shown at work


def draw() -> Drawing:
    """Return the drawing."""
    d = Drawing(800, 330, "A group: four rows share their columns, so one load serves four of them")
    left, top, middle, right = 20, 84, 262, 556
    d.words(left, 26, "weights W, in groups of 4", bold=True)
    d.words(left, 46, "rows of a group share their columns", size=12)
    d.grid(left, top, OUTPUTS, INPUTS, CELL)
    for g, columns in enumerate(PATTERN):
        y = top + g * GROUP * CELL
        for j in columns:
            chosen = (g, j) == (0, COLUMN)
            for r in range(GROUP):
                d.box(left + j * CELL, y + r * CELL, CELL, CELL, ORANGE if chosen else GREY,
                      0.9 if chosen else 0.45)  # fmt: skip
        d.box(left - 4, y + 1, INPUTS * CELL + 8, GROUP * CELL - 2)
    below = top + OUTPUTS * CELL + 22
    d.words(left, below, f"shared column {COLUMN}:", ORANGE, bold=True)
    d.words(left, below + 19, "four weights, one index", ORANGE, size=13)

    d.words(middle, 26, "a tile of x", bold=True)
    d.words(middle, 46, f"features × {LANES} lanes (samples)", size=12)
    d.grid(middle, top, INPUTS, LANES, CELL)
    d.box(middle, top + COLUMN * CELL, LANES * CELL, CELL, BLUE, 0.6)
    d.words(middle, top + INPUTS * CELL + 22, f"x[tile, {COLUMN}, :]", BLUE, bold=True)
    d.words(middle + 100, top + INPUTS * CELL + 22, "is loaded once", BLUE, size=13)

    d.words(right, 26, "a tile of y", bold=True)
    d.words(right, 46, f"features × {LANES} lanes", size=12)
    d.grid(right, top, OUTPUTS, LANES, CELL)
    for r in range(GROUP):
        d.box(right, top + r * CELL, LANES * CELL, CELL, GREEN, 0.6)
    d.words(right, below, "y[tile, 0 to 3, :]", GREEN, bold=True)
    d.words(right, below + 19, "four sums stay in registers", GREEN, size=13)

    for r in range(GROUP):
        row, column = top + (r + 0.5) * CELL, top + (COLUMN + 0.5) * CELL
        d.line([(left + INPUTS * CELL + 6, row), (middle - 6, column)], ORANGE,
               arrow=r == GROUP - 1)  # fmt: skip
        d.line([(middle + LANES * CELL + 2, column), (right - 4, row)], BLUE, arrow=True)
    d.words(400, 316, "one load, four multiply-adds: arithmetic is the limit, not the cache",
            size=16, anchor="middle", bold=True)  # fmt: skip
    return d


if __name__ == "__main__":
    draw().save(__file__)
