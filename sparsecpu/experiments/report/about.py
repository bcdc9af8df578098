"""What was trained, and how: in a few numbers, in words, and option by option."""

from __future__ import annotations

from typing import Any

from sparsecpu.experiments.recipe import Recipe, options
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    element,
    escaped,
    paragraph,
    section,
    table,
)
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.experiments.report.scored import Scored
from sparsecpu.experiments.report.svg import short, short_of

#: Scores, with what people call them.
_SCORES = {
    "accuracy": "accuracy", "r2": "R²", "loss": "loss, nats per token", "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
}  # fmt: skip
#: What is predicted.
_TASKS = {
    "regression": "the quantities", "language": "the next token", "multilabel": "the labels",
}  # fmt: skip


def figures(pairs: list[tuple[str, Any]]) -> Html:
    """Return numbers that stand out, each with what it is."""
    boxes = [element("div", element("dt", n), element("dd", v)) for n, v in pairs if v is not None]
    return element("dl", *boxes, class_="facts")


def kept_scores(run: RunFacts) -> dict[str, float]:
    """Return the scores that ``train`` kept in the model, by name."""
    metrics = run.facts.get("metrics")
    known = metrics if isinstance(metrics, dict) else {}
    found = {name: known.get(f"test_{name}") for name in _SCORES}
    return {name: value for name, value in found.items() if isinstance(value, (int, float))}


def show_score(name: str, value: float) -> str:
    """Return a score as people read it."""
    return f"{100 * value:.2f} %" if name == "accuracy" else short_of(value)


def summary(run: RunFacts, scored: Scored | str) -> Html:
    """Return the numbers that one looks for first."""
    network, result = run.network, run.result or {}
    found = kept_scores(run)
    if isinstance(scored, Scored):
        names = ("accuracy", "r2")
        found = {name: scored.details[name] for name in names if name in scored.details}
    seconds = result.get("seconds")
    pairs: list[tuple[str, Any]] = [
        (_SCORES[name], show_score(name, value)) for name, value in found.items()
        if value is not None
    ]  # fmt: skip
    pairs += [
        ("density", f"{100 * network.density:.3g} %"),
        (f"weights, of {network.size:,}", f"{network.nnz:,}"),
        _length(run),
        ("best epoch, which was kept", result.get("best_epoch")),
    ]
    pairs.append(("seconds in all", None if seconds is None else short_of(seconds)))
    return figures(pairs)


def _length(run: RunFacts) -> tuple[str, str]:
    """Return how long the run was: its epochs, or its steps where these were asked for."""
    recipe, records = run.recipe, run.records
    done, wanted, what = len(records), recipe["epochs"], "epochs"
    if recipe["steps"] is not None:
        done = records[-1].get("step", 0) if records else 0
        wanted, what = recipe["steps"], "steps"
    return (what, f"{done:,}" if run.ended else f"{done:,} of {wanted:,}")


def about(run: RunFacts) -> Section:
    """Return what was trained, and how."""
    parts = [paragraph(sentence) for sentence in _sentences(run)]
    if not run.ended:
        parts.insert(0, paragraph(
            element("strong", "The run has not ended: "),
            "this is its last checkpoint, and ", element("code", "sparsecpu train --resume"),
            " goes on with it.",
        ))  # fmt: skip
    return section("What was trained", *parts, recipe_table(run.recipe))


def _sentences(run: RunFacts) -> list[str]:
    recipe, network = run.recipe, run.network
    where = f"A network learnt to predict {_TASKS.get(run.task)} of {run.config['data']}"
    if run.task == "classification":
        count = len(run.facts["classes"])
        where = f"A network learnt to tell apart the {count:,} classes of {run.config['data']}"
    shape = " × ".join(map(str, network.input_shape))
    unit = "tokens" if run.task == "language" else "numbers"
    model = recipe["init"] or recipe["model"]
    is_ = f"is {model}" if not _are_sizes(model) else f"has hidden layers of {model} neurons"
    first = f"{where}. It {is_}, for samples of {shape} {unit}"
    if recipe["neurons"] is not None:
        first = f"{where}. It has {recipe['neurons']:,} hidden neurons"
    kept = f"{network.nnz:,} of {network.size:,} weights ({100 * network.density:.3g} %)"
    return [f"{first}, with {kept}.", _pattern(run), _training(run) + _validation(run)]


def _are_sizes(model: str) -> bool:
    """Return True for a model that is called by the sizes of its hidden layers."""
    return model.partition(":")[0].replace(",", "").replace(" ", "").isdigit()


def _pattern(run: RunFacts) -> str:
    """Return in words where the weights were at first, and how they moved."""
    recipe, updates = run.recipe, run.updates
    if recipe["ift"] != "none":
        shared = f"Sparse-IFT ({recipe['ift']}) made the layers larger and sparse"
    elif recipe["init"]:
        shared = f"It began with the weights of {recipe['init']}"
    else:
        shared_by = "er" if recipe["neurons"] is not None else recipe["distribution"]
        shared = f"The layers shared out the weights by {shared_by.upper()}"
        shared += f", at first in a {recipe['pattern']} pattern"
    if recipe["group"] != "1":
        shared += f", in groups of rows that share their columns (--group {recipe['group']})"
    if not updates:
        return f"{shared}. The pattern stayed as it was ({recipe['topology']})."
    moved = sum(f["dropped"] for u in updates for f in u["layers"].values())
    times = f"{len(updates):,} times" if len(updates) > 1 else "once"
    return f"{shared}. {recipe['topology']} changed it {times}, and moved {moved:,} weights in all."


def length_of(recipe: dict[str, Any]) -> str:
    """Return how long a run is to be, in words."""
    count, what = recipe["epochs"], "epoch"
    if recipe["steps"] is not None:
        count, what = recipe["steps"], "step"
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _training(run: RunFacts) -> str:
    recipe, result = run.recipe, run.result or {}
    batch = recipe["batch_size"] or result.get("batch_size")
    batches = f" in batches of {batch}" if batch else ""
    return (
        f"Trained for {length_of(recipe)}{batches} by {recipe['optimizer']}, learning rate "
        f"{short(recipe['learning_rate'])} at most ({recipe['schedule']}), weight decay "
        f"{short(recipe['weight_decay'])}, in {recipe['precision']}, with seed {recipe['seed']}."
    )


def _validation(run: RunFacts) -> str:
    """Return in words what a run did with samples held out for validation, if it had any."""
    source, patience = run.config.get("validation"), run.config.get("early_stopping")
    if not source:
        return ""
    share = source.replace(".", "", 1).isdigit()
    words = f" After every epoch it was scored on {source if not share else f'a part ({source})'}"
    words += " of the training samples, held out for that" if share else ""
    if patience:
        words += f", to end after {patience} epochs without a better score"
    return f"{words}; the best network was kept." if run.config.get("best") else f"{words}."


def recipe_table(recipe: dict[str, Any]) -> Html:
    """Return all options of a recipe; those that are not at their defaults stand first."""
    usual = Recipe()
    rows = []
    for name in options():
        value, default = recipe[name], getattr(usual, name)
        rows.append((value == default, name, value, default))
    rows.sort(key=lambda row: row[0])
    cells = [
        (element("code", f"--{name.replace('_', '-')}"), _value(value, same), _value(default, True))
        for same, name, value, default in rows
    ]
    made = table("Options of the run; those in bold differ from their defaults",
                 ("option", "value", "default"), cells, words=3)  # fmt: skip
    return element("details", element("summary", "All options"), made)


def _value(value: Any, plain: bool) -> Html:
    text = "none" if value is None or value == "" else str(value)
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = f"{value:.12g}"
    return escaped(text) if plain else element("strong", text)
