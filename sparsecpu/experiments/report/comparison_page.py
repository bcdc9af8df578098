"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.experiments.comparison.measures import Measure
from sparsecpu.experiments.comparison.methods import DENSE, label_of
from sparsecpu.experiments.recipe import ALONE
from sparsecpu.experiments.report.about import figures, length_of, model_in_words, recipe_table
from sparsecpu.experiments.report.comparison_curves import curves
from sparsecpu.experiments.report.comparison_facts import ComparisonFacts
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    element,
    joined,
    note,
    paragraph,
    section,
    spread,
    table,
)
from sparsecpu.experiments.report.page import page, repeating
from sparsecpu.experiments.report.svg import (
    MOST_SERIES,
    Axis,
    Level,
    Series,
    chart,
    short,
    short_of,
)

#: Half of a 95 % interval, in standard errors.
_HALF = 1.96
#: Rows of the table of single runs.
_RUNS = 200
#: What a method may be compared with: the key, and the words of its table.
_OTHERS = {
    "vs_dense": "Against the dense network",
    "vs_static": "Against patterns that never change (static), at the same density",
    "vs_alone": "Against rows that stand alone (group 1), same method and density",
}


def comparison_page(found: ComparisonFacts, command: str) -> str:
    """Return the page of a comparison; ``command`` does it again."""
    plan, name = found.plan, found.path.absolute().name
    lead = joined([paragraph(f"{plan['data']}, {plan['recipe']['model']}"), _summary(found)])
    sections = [
        _about(found), _scores(found), _differences(found), curves(found), _seconds(found),
        _single(found),
        _again(found, command),
    ]  # fmt: skip
    return page(f"Comparison {name}", lead, (part for part in sections if part is not None))


def _summary(found: ComparisonFacts) -> Html:
    plan, done = found.plan, len(found.results)
    runs = f"{done:,}" if done == found.planned else f"{done:,} of {found.planned:,}"
    seconds = found.written.get("seconds")
    return figures([
        ("methods", len(plan["methods"])), ("densities", len(plan["densities"])),
        ("seeds", plan["seeds"]), ("folds", plan["folds"] or None), ("runs", runs),
        ("seconds in all", None if seconds is None else short_of(seconds)),
    ])  # fmt: skip


def _about(found: ComparisonFacts) -> Section:
    plan, recipe = found.plan, found.plan["recipe"]
    tests = "the data's own test part"
    if plan["folds"]:
        tests = f"{plan['folds']} folds, cut anew for each seed"
    rate = found.state.get("learning_rate")
    words = (
        f"Each method trained {model_in_words(recipe['model'])} on {plan['data']} for "
        f"{length_of(recipe)}, with {plan['seeds']} seeds, and was scored on {tests}. "
    )
    if rate is not None:
        words += f"All had the learning rate {short(rate)}"
        words += ", the best of the dense network." if len(plan["learning_rates"]) > 1 else "."
    parts = [paragraph(words)]
    if len(found.results) < found.planned:
        parts.insert(0, paragraph(
            element("strong", "The comparison has not ended: "),
            "the command below goes on with it, in the same folder.",
        ))  # fmt: skip
    tuning = found.state.get("tuning") or {}
    if tuning:
        rows = [(r, _shown(s, found.measure)) for r, s in tuning.items()]
        heads = ("learning rate", f"score of dense, {found.measure.words}")
        parts.append(table("How the learning rate was chosen", heads, rows))
    return section("What was compared", *parts, recipe_table(recipe))


def _shown(value: float | None, measure: Measure) -> str:
    return "–" if value is None else f"{measure.times * value:.{measure.digits}f}"


def _scores(found: ComparisonFacts) -> Section:
    """Return the picture of scores over densities, and the table of them."""
    measure = found.measure
    pictures = [_picture(found)] if any(r["method"] != DENSE for r in found.rows) else []
    heads = ["method", "density", "group", "weights", measure.name, "standard error", "runs"]
    heads.append("diverged")
    rows = [
        [
            row["method"], f"{row['density']:g}", row["group"], f"{row['nnz']:,}",
            _shown(row["score"], measure), _shown(row["error"], measure), row["runs"],
            row["diverged"] or "",
        ]
        for row in found.rows
    ]  # fmt: skip
    for at in (2, 7):  # columns that say nothing here
        if all(row[at] in ("", ALONE) for row in rows):
            heads[at] = ""
    kept = [at for at, head in enumerate(heads) if head]
    made = table(f"Means over seeds, {measure.words}", [heads[at] for at in kept],
                 [[row[at] for at in kept] for row in rows])  # fmt: skip
    words = "Bars in the picture are 95 % intervals of the mean over seeds."
    return section("Scores", *pictures, note(words) if pictures else None, made)


def _label(row: dict[str, Any]) -> str:
    return label_of(row["method"], row["group"])


def _curves(rows: Iterable[dict[str, Any]], value: str, times: float) -> list[Series]:
    """Return a curve over density for each method that is not dense."""
    known = [r for r in rows if r["method"] != DENSE and r[value] is not None]
    series = []
    for label in dict.fromkeys(map(_label, known)):
        own = sorted((r for r in known if _label(r) == label), key=lambda r: r["density"])
        points = [(r["density"], times * r[value]) for r in own]
        halves = [_HALF * times * (r["error"] or 0.0) for r in own] if value == "score" else []
        series.append(Series(label, points, halves))
    return series


def _across(found: ComparisonFacts) -> Axis:
    marks = sorted({r["density"] for r in found.rows if r["method"] != DENSE})
    return Axis("density (fraction of the weights kept)", log=True, marks=marks)


def _picture(found: ComparisonFacts) -> Html:
    measure = found.measure
    series = _curves(found.rows, "score", measure.times)
    levels = [
        Level("dense", measure.times * r["score"], _HALF * measure.times * (r["error"] or 0.0))
        for r in found.rows
        if r["method"] == DENSE and r["score"] is not None
    ]
    unit = f"{measure.name}, %" if measure.times == 100 else measure.name
    title = f"{measure.name.capitalize()} over density"
    if len(series) > MOST_SERIES:
        title += f", of the first {MOST_SERIES} of {len(series)} methods"
    return chart(title, _across(found), Axis(unit), series, levels=levels)


def _differences(found: ComparisonFacts) -> Section | None:
    """Return paired differences: from dense, from static, and from rows that stand alone."""
    tables = []
    for key, words in _OTHERS.items():
        rows = [row for row in found.rows if row[key] is not None]
        if rows:
            tables.append(_paired(rows, key, words, found.measure))
    if not tables:
        return None
    words = (
        "Each method minus the other one, seed by seed, which cancels what both have in common; "
        "with 95 % bootstrap intervals (BCa). Where 0 lies inside there is no significant "
        "difference. Fewer than three seeds have no interval."
    )
    return section("Paired differences", paragraph(words), *tables)


def _paired(rows: list[dict[str, Any]], key: str, words: str, measure: Measure) -> Html:
    grouped = any(row["group"] != ALONE for row in rows)
    cells = []
    for row in rows:
        pair = row[key]
        low, high = (_signed(pair[side], measure) for side in ("low", "high"))
        verdict = "too few seeds" if pair["low"] is None else "not significant"
        if pair["significant"]:
            better = (pair["difference"] > 0) == (measure.sign > 0)
            verdict = element("strong", "better" if better else "worse")
        cells.append([
            row["method"], f"{row['density']:g}", *([row["group"]] if grouped else []),
            _signed(pair["difference"], measure),
            f"{low}\u00a0to\u00a0{high}" if low != "–" else "–",
            pair["pairs"], element("td", verdict, class_="word"),
        ])  # fmt: skip
    heads = ["method", "density", *(["group"] if grouped else []), "difference", "95 % interval",
             "seeds", "verdict"]  # fmt: skip
    return table(f"{words}; {measure.words}", heads, cells)


def _signed(value: float | None, measure: Measure) -> str:
    return "–" if value is None else f"{measure.times * value:+.{measure.digits}f}"


def _seconds(found: ComparisonFacts) -> Section:
    """Return how long runs took, each on one thread."""
    dense = next((r["seconds"] for r in found.rows if r["method"] == DENSE), None)
    levels = [] if dense is None else [Level("dense", dense)]
    series = _curves(found.rows, "seconds", 1.0)
    parts: list[Html] = []
    if series:
        up = Axis("seconds", least=0.0)
        parts.append(chart("Seconds of a run over density", _across(found), up, series,
                           levels=levels))  # fmt: skip
    rows = []
    for row in found.rows:
        times = "" if not dense or not row["seconds"] else f"{dense / row['seconds']:.2f}"
        rows.append((_label(row), f"{row['density']:g}", f"{row['seconds']:.3f}", times))
    heads = ("method", "density", "seconds", "times as fast as dense")
    parts.append(table("Seconds of training, medians over runs", heads, rows))
    words = "Runs have a thread each. The first run of a kind may have compiled kernels; the "
    words += "medians leave that out where there are three runs or more."
    return section("Seconds", *parts, note(words))


def _single(found: ComparisonFacts) -> Section:
    chosen = [found.results[at] for at in spread(len(found.results), _RUNS)]
    rows = [
        (r["method"], f"{r['density']:g}", r["seed"], r["fold"], f"{r['nnz']:,}",
         _shown(r["score"], found.measure), f"{r['seconds']:.3f}")
        for r in chosen
    ]  # fmt: skip
    caption = "Every run" if len(chosen) == len(found.results) else (
        f"{len(chosen)} of {len(found.results):,} runs; results.jsonl has all of them"
    )  # fmt: skip
    heads = ("method", "density", "seed", "fold", "weights", found.measure.name, "seconds")
    made = table(caption, heads, rows)
    return section("Single runs", element("details", element("summary", "Runs"), made))


def _again(found: ComparisonFacts, command: str) -> Section:
    written = found.written
    versions = ", ".join(f"{n} {v}" for n, v in (written.get("versions") or {}).items())
    cores = written.get("cores")
    facts = [("CPU", written.get("cpu")), ("cores", cores), ("versions", versions)]
    return repeating(command, facts)
