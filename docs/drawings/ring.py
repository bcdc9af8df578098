"""Draw the ring of rows: a filter of three rows reads three, and a new one replaces the oldest."""

from svg import BLUE, GREEN, GREY, ORANGE, Drawing

ROWS, TALL, HERE = 8, 3, 4  # rows of the image, of the filter, and the output row that is computed
CELL, WIDTH = 26, 190


def draw() -> Drawing:
    """Return the drawing."""
    d = Drawing(800, 345, "The ring of rows of a convolution")
    left, middle, right, top = 50, 320, 590, 74
    d.words(left, 26, "planes of x", bold=True)
    d.words(left, 46, "the image, row by row", size=12)
    for row in range(ROWS):
        now = HERE - 1 <= row <= HERE + 1
        d.box(left, top + row * CELL, WIDTH, CELL, BLUE if now else GREY, 0.35 if now else 0)
        d.words(left - 8, top + (row + 0.7) * CELL, str(row), size=12, anchor="end")

    d.words(middle, 26, "the ring", bold=True)
    d.words(middle, 46, "as many rows as the filter is tall", size=12)
    place = {row % TALL: row for row in range(HERE - 1, HERE + 2)}
    for slot in range(TALL):
        y = top + 40 + slot * CELL
        newest = place[slot] == HERE + 1
        color = ORANGE if newest else BLUE
        d.box(middle, y, WIDTH, CELL, color, 0.18)
        d.words(middle + WIDTH / 2, y + 0.7 * CELL, f"row {place[slot]}", color, 13, "middle",
                bold=True)  # fmt: skip
    newest = top + 40 + ((HERE + 1) % TALL + 0.5) * CELL
    d.line([(left + WIDTH + 2, top + (HERE + 1.5) * CELL), (middle - 24, top + (HERE + 1.5) * CELL),
            (middle - 24, newest), (middle - 3, newest)], ORANGE, arrow=True)  # fmt: skip
    below = top + 40 + TALL * CELL
    d.words(middle, below + 24, f"row {HERE + 1} has just replaced row {HERE - 2},", ORANGE, 13)
    d.words(middle, below + 42, "with its padding, and with the pending", ORANGE, 13)
    d.words(middle, below + 60, "normalisation and ReLU applied", ORANGE, 13)

    d.words(right, 26, "planes of y", bold=True)
    d.words(right, 46, "one row at a time, downwards", size=12)
    for row in range(ROWS):
        done, now = row < HERE, row == HERE
        d.box(right, top + row * CELL, WIDTH, CELL, GREEN if now else GREY,
              0.5 if now else 0.2 if done else 0, dashed=not done and not now)  # fmt: skip
    y = top + (HERE + 0.5) * CELL
    tap = top + 40 + ((HERE - 1) % TALL + 0.5) * CELL
    d.line([(middle + WIDTH + 2, tap), (right - 40, tap), (right - 40, y), (right - 4, y)], GREEN,
           arrow=True)  # fmt: skip
    d.words(middle + WIDTH + 12, tap - 8, "tap", GREEN, 13, bold=True)
    d.words(400, 334, "one nonzero of the filter = one tap: which row of the ring, and where in it",
            size=15, anchor="middle", bold=True)  # fmt: skip
    return d


if __name__ == "__main__":
    draw().save(__file__)
