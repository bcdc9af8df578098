"""Draw how the first layer's weights move to where digits are, and what is right at the end.

``python docs/drawings/growing.py RUN`` takes the history of such a run into ``growing.json``:
``sparsecpu train digits28 --epochs 20 --out RUN``. Without RUN, what is there is drawn.
"""

import json
import sys
from pathlib import Path

from svg import BLUE, GREY, ORANGE, Drawing

DATA = Path(__file__).with_suffix(".json")
SIDE, CELL, LEFT, TOP = 28, 9, 24, 58
#: Seconds from one update to the next, and how many such times the last one stays.
PACE, STAYS = 0.7, 4
#: Per cent of the test digits that are named rightly, and the weights (docs/algorithms): five seeds
#: of sparse momentum at density 0.1, and of the dense network.
RIGHT = (("sparse: 26,620 weights", 99.44, 0.1, BLUE), ("dense: 266,200 weights", 99.67, 1, GREY))


def frames() -> list[dict]:
    """Return steps, and of each the weights that read each pixel."""
    return json.loads(DATA.read_text())


def keep_frames(run: str) -> None:
    """Take the weights per input of a run's updates, every second one."""
    lines = (Path(run) / "history.jsonl").read_text().splitlines()
    updates = [update for line in lines for update in json.loads(line).get("updates", [])]
    kept = [{"step": u["step"], "inputs": u["layers"]["0.weight"]["inputs"]} for u in updates[::2]]
    DATA.write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def draw() -> Drawing:
    """Return the drawing. Where nothing moves, it shows the last update."""
    found = frames()
    d = Drawing(800, 350, "A pattern that grows: weights move to the pixels where digits are")
    d.words(LEFT, 24, "A sparse network learns where to look", size=16, bold=True)
    d.words(LEFT, 45, "weights that read each pixel of 28 x 28, after every other update", size=12)
    d.box(LEFT, TOP, SIDE * CELL, SIDE * CELL)
    shown = found + found[-1:] * STAYS
    length = f'dur="{PACE * len(shown):g}s" repeatCount="indefinite"'
    # As many weights as this are as dark as it gets; few pixels have more.
    most = sorted(found[-1]["inputs"])[-8]
    for pixel in range(SIDE * SIDE):
        row, column = divmod(pixel, SIDE)
        values = [f"{min(1, f['inputs'][pixel] / most):.2f}".lstrip("0") for f in shown]
        moves = f'<animate attributeName="fill-opacity" values="{";".join(values)}" {length}/>'
        d.parts.append(
            f'<rect x="{LEFT + column * CELL}" y="{TOP + row * CELL}" width="{CELL}" '
            f'height="{CELL}" fill="{BLUE}" fill-opacity="{values[-1]}">{moves}</rect>'
        )
    for number, frame in enumerate(found):
        last = number == len(found) - 1
        on = "".join("1" if f is frame else "0" for f in shown)
        d.parts.append(
            f'<text x="{LEFT}" y="{TOP + SIDE * CELL + 20}" fill="{GREY}" stroke="none" '
            f'font-size="13" opacity="{int(last)}">step {frame["step"]:,}<animate '
            f'attributeName="opacity" values="{";".join(on)}" calcMode="discrete" {length}/></text>'
        )
    draw_results(d)
    return d


def draw_results(d: Drawing) -> None:
    """Draw what the network reaches, beside the dense one."""
    left, wide = 350, 420
    d.words(left, 24, "with a tenth of the weights from the first step to the last", bold=True)
    for title, value, top in (("test digits named rightly", 1, 70), ("weights", 2, 180)):
        d.words(left, top, title, size=13, bold=True)
        for number, row in enumerate(RIGHT):
            y = top + 10 + 34 * number
            share = row[1] / 100 if value == 1 else row[2]
            text = f"{row[0].split(':')[0]}: {row[1]:.1f} %" if value == 1 else row[0]
            d.box(left, y, wide * share, 26, row[3], 0.25)
            d.words(
                left + 10 if share > 0.5 else left + wide * share + 10, y + 18, text, row[3], 14
            )
    d.words(left, 290, "The least important weights are dropped, others grow where they", size=13)
    d.words(left, 308, "promise more: the middle, where the strokes are, wins them.", size=13)
    d.words(left, 326, "No dense matrix is ever held.", ORANGE, 13, bold=True)


if __name__ == "__main__":
    for given in sys.argv[1:]:
        keep_frames(given)
    draw().save(__file__)
