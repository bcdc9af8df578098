"""Options that several commands have, each written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sparsecpu.cli.grouped_help import option
from sparsecpu.cli.names import Choice
from sparsecpu.datasets.base import SCALINGS, TASKS
from sparsecpu.datasets.formats import FORMATS, PARTS
from sparsecpu.errors import ParameterError

Decorator = Callable[[Callable], Callable]

#: Options that say how to read data, as ``datasets.open_data`` takes them.
READING = ("samples", "target", "task")
#: Those that came later, with their defaults: folders of older runs do not name them.
LATER = {
    "format": "auto", "zero_based": None, "missing": (), "drop_missing": False, "header": None,
    "categorical": None, "scaling": "auto",
}  # fmt: skip


def decorated(decorators: Iterable[Decorator]) -> Decorator:
    """Return one decorator for several, whose options stand in this order in ``--help``."""

    def decorate(command: Callable) -> Callable:
        for decorator in reversed(list(decorators)):
            command = decorator(command)
        return command

    return decorate


#: How to read data.
data_options = decorated(
    (
        option(
            "--task",
            type=Choice(["auto", *TASKS]),
            default="auto",
            show_default=True,
            help="What to learn, if DATA is a file that leaves it open.",
            group="data",
        ),
        option("--target", help="Column to predict, in a .csv.  [default: the last]", group="data"),
        option(
            "--format",
            type=Choice(["auto", *FORMATS]),
            default="auto",
            show_default=True,
            help="What a file is; auto looks into it.",
            group="data",
            rare=True,
        ),
        option(
            "--zero-based/--one-based",
            default=None,
            help="The number of the first feature in a svmlight file.  [default: 0 if there is a "
            "feature 0, else 1]",
            group="data",
            rare=True,
        ),
        option(
            "--missing",
            multiple=True,
            metavar="MARK",
            help="What stands in a cell of a table that has no value; may be given several times.  "
            "[default: NA, ?, null and their like]",
            group="data",
            rare=True,
        ),
        option(
            "--drop-missing",
            is_flag=True,
            help="Leave out rows of a table that lack a value.",
            group="data",
            rare=True,
        ),
        option(
            "--header/--no-header",
            default=None,
            help="The first row of a table has names, or is a sample.  [default: looked at]",
            group="data",
            rare=True,
        ),
        option(
            "--categorical",
            metavar="auto|NAMES",
            help="Columns of a table to turn into a feature per value: all of text, or those with "
            "these names, with commas between.",
            group="data",
            rare=True,
        ),
        option(
            "--samples",
            type=int,
            help="How many samples to generate, for generated data.",
            group="data",
        ),
    )
)

#: How the inputs of a new network are standardised.
scaling_option = option(
    "--scaling",
    type=Choice(["auto", *SCALINGS]),
    default="auto",
    show_default=True,
    help="How to standardise the inputs: each feature, each channel of images, all alike, or not "
    "at all; auto takes each feature, of bytes all alike, and leaves sparse data as it is.",
    group="data",
    rare=True,
)

#: Which samples of DATA.
part_option = option(
    "--part",
    type=Choice(PARTS),
    help="Which samples of DATA: those that a run trains on, those that it holds out, or all.",
    group="data",
)

json_option = option(
    "--json", "as_json", is_flag=True, help="Print one JSON document.", group="output"
)
quiet_option = option(
    "--quiet", is_flag=True, help="Show no progress, and warnings only.", group="output"
)

#: How much to say, and on how many threads to run.
output_options = decorated(
    (
        quiet_option,
        json_option,
        option(
            "--threads",
            type=int,
            help="Threads to use.  [default: as many as speed it up]",
            group="output",
        ),
    )
)


def reading(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that ``datasets.open_data`` takes, later ones where the user said them."""
    said = {n: given[n] for n, usual in LATER.items() if given.get(n, usual) != usual}
    if "missing" in said:
        said["missing"] = list(said["missing"])  # as JSON has it
    return {name: given[name] for name in READING} | said


def numbers(name: str, text: str | None, kind: Any = float) -> tuple[Any, ...] | None:
    """Read numbers with commas between them; None stays None."""
    if text is None:
        return None
    try:
        found = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = ()
    if not found:
        raise ParameterError(name, text, "numbers with commas between them")
    return found
