"""``sparsecpu evaluate``."""

from __future__ import annotations

from typing import Any

import click

from sparsecpu.cli.evaluate_report import detailed_lines
from sparsecpu.cli.grouped_help import command, option
from sparsecpu.cli.names import data_argument
from sparsecpu.cli.options import data_options, output_options, part_option, reading
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import DataError

#: What stands before a score: samples that were trained on are no test.
_WORDS = {"test": "test ", "train": "training ", "all": "training and test "}


@command()
@click.argument("model")
@data_argument()
@option(
    "--report", is_flag=True, group="output",
    help="Say more than one number: scores of each class and which are confused, or errors of each "
    "quantity.",
)  # fmt: skip
@part_option
@data_options
@output_options
def evaluate(model: str, data: str, report: bool, part: str | None, **options: Any) -> None:
    """Score MODEL on DATA: all samples of a file that it was not trained on.

    Of the file that it was trained on, the held-out samples count, in whatever order the columns
    are now and whatever the format and the name of the file. Of data that has a test part, or is a
    name such as digits, the test part counts.

    A language model is scored on text, by the loss per token and what follows from it: on the last
    tenth of the text that it was trained on, on all of another one.

    MODEL is a file, or the folder of a run.
    """
    from sparsecpu.experiments.parts import part_to_score
    from sparsecpu.experiments.trained_models import read_model
    from sparsecpu.files.places import model_path
    from sparsecpu.kernels.machine.threads import use_threads

    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    path = model_path(model)
    network, facts = read_model(path, options["task"], speaker.note)
    found = part_to_score(network, facts, data, part, reading(options))
    for note in found.notes:
        speaker.note(note)
    with use_threads(options["threads"]):
        if facts["task"] == "regression" and len(found.y) < 2:
            words = "R2 needs two (sparsecpu predict shows its value)"
            raise DataError(f"{data} has 1 sample; {words}")
        all_scores, details = _scored(network, facts, found, report)
    samples = len(found.y)
    if options["as_json"]:
        document: dict[str, Any] = {f"{found.name}_{n}": value for n, value in all_scores.items()}
        document |= {f"{found.name}_samples": samples, "part": found.name, "model": str(path)}
        document |= {"data": data, "density": network.density, "nnz": network.nnz}
        print_json(document if details is None else {**document, "report": details})
    else:
        put(_WORDS[found.name] + _line(all_scores, samples))
        if details:
            put("\n".join(["", *detailed_lines(details, samples)]))
        elif report:
            speaker.warn("note: these are all scores of text; --report has no more")


def _scored(
    network: Any, facts: dict[str, Any], found: Any, report: bool
) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Return scores by name, and those in detail if a report is wanted of what has any."""
    from sparsecpu.experiments.detailed_scores import detailed_scores
    from sparsecpu.experiments.scoring import name_of_score, outputs, score_of, scores

    if facts["task"] == LANGUAGE or not report:
        return scores(network, found.x, found.y, facts), None
    z = outputs(network, found.x)  # once, for both
    details = detailed_scores(z, found.y, facts)
    return {name_of_score(facts): score_of(z, found.y, facts)}, details


def _line(scores: dict[str, float], samples: int) -> str:
    """Return scores in a line for people."""
    if "loss" in scores:
        from sparsecpu.experiments.language_scores import in_words

        return f"loss {in_words(scores, samples)}"
    if "r2" in scores:
        return f"R2 {scores['r2']:.4f} on {samples} samples"
    many = "1 sample" if samples == 1 else f"{samples} samples"
    return f"accuracy {100 * scores['accuracy']:.2f} % of {many}"
