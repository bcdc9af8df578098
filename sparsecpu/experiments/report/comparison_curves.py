"""How the runs of a comparison went: mean losses over the epochs, density by density."""

from __future__ import annotations

from sparsecpu.experiments.comparison.histories import by_density
from sparsecpu.experiments.curves import far_apart
from sparsecpu.experiments.report.comparison_facts import ComparisonFacts
from sparsecpu.experiments.report.html import Html, Section, element, note, section
from sparsecpu.experiments.report.svg import MOST_SERIES, Axis, Series, chart


def curves(found: ComparisonFacts) -> Section | None:
    """Return a picture of training losses for each density; None where no history was kept."""
    shown = by_density(found.curves)
    if not shown:
        return None
    heights = [y for some in shown.values() for one in some for y in one.curves.series("loss")[1]]
    low, high, far = min(heights), max(heights), far_apart(heights)
    room = 0.0 if far else 0.04 * (high - low)
    up = Axis("loss", log=far, least=low - room, most=high + room)  # the same for all densities
    pictures: list[Html] = []
    for density, some in shown.items():
        title = f"Training loss at density {density:g}"
        if len(some) > MOST_SERIES:
            title += f", of the first {MOST_SERIES} of {len(some)} methods"
        series = [
            Series(one.label, list(zip(*one.curves.series("loss"), strict=True))) for one in some
        ]
        pictures.append(chart(title, Axis("epoch", whole=True), up, series))
    words = (
        "Means over the runs that ended, of the loss that is trained on, while weights change: how "
        "fast each method learns, not how good it is in the end. sparsecpu plot draws the same."
    )
    return section("Learning curves", element("div", *pictures, class_="charts"), note(words))
