"""Draw one drop and grow: the smallest weights go, the largest gradients say where others come."""

from svg import BLUE, GREEN, GREY, ORANGE, Drawing

#: Weights (times 100) by position, and the |gradient| of some inactive positions.
WEIGHTS = {
    (0, 1): 52, (0, 5): -6, (1, 0): 31, (1, 6): -44, (2, 3): 4, (2, 4): 63,
    (3, 2): -38, (3, 7): 27, (4, 0): -9, (4, 5): 71,
}  # fmt: skip
GRADIENTS = {(0, 3): 2, (1, 2): 9, (1, 4): 1, (2, 6): 8, (3, 5): 3, (4, 3): 7, (4, 6): 2, (2, 1): 1}
ROWS, COLUMNS, CELL, COUNT = 5, 8, 27, 3


def draw() -> Drawing:
    """Return the drawing."""
    dropped = sorted(WEIGHTS, key=lambda at: abs(WEIGHTS[at]))[:COUNT]
    grown = sorted(GRADIENTS, key=lambda at: -GRADIENTS[at])[:COUNT]
    d = Drawing(800, 250, "One drop and grow: three weights leave, three others come")
    lefts, top = (20, 292, 564), 66
    titles = (
        (f"1. before: {len(WEIGHTS)} weights", f"the {COUNT} smallest |w| are dropped"),
        ("2. |gradient| where no weight is", f"the {COUNT} largest grow"),
        (f"3. after: {len(WEIGHTS)} weights", "new ones start at 0"),
    )
    for left, (title, line) in zip(lefts, titles, strict=True):
        d.words(left, 24, title, bold=True)
        d.words(left, 44, line, size=12)
        d.grid(left, top, ROWS, COLUMNS, CELL)

    def cell(which, at, text, color, fill) -> None:
        x, y = lefts[which] + at[1] * CELL, top + at[0] * CELL
        d.box(x, y, CELL, CELL, color, fill)
        d.words(x + CELL / 2, y + 18, text, color, 11, "middle", bold=True)

    for at, weight in WEIGHTS.items():
        gone = at in dropped
        cell(0, at, f"{weight / 100:.2f}".replace("0.", "."), ORANGE if gone else BLUE, 0.2)
        if gone:
            x, y = lefts[0] + at[1] * CELL, top + at[0] * CELL
            d.line([(x + 3, y + CELL - 3), (x + CELL - 3, y + 3)], ORANGE)
        else:
            cell(2, at, f"{weight / 100:.2f}".replace("0.", "."), BLUE, 0.2)
    for at, gradient in GRADIENTS.items():
        cell(1, at, str(gradient), GREEN if at in grown else GREY, 0.2 if at in grown else 0.05)
    for at in grown:
        cell(2, at, "0", GREEN, 0.2)
    d.words(400, 238, "the number of weights stays the same, and no dense matrix is ever held",
            size=15, anchor="middle", bold=True)  # fmt: skip
    return d


if __name__ == "__main__":
    draw().save(__file__)
