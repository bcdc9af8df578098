"""Names of data: what there is, how a name is read, and what is said of one that is unknown."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.bundled import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sparsecpu.datasets.digits28 import load_digits28
from sparsecpu.datasets.generated import make_classification, make_regression
from sparsecpu.datasets.image_sets import IMAGE_SETS
from sparsecpu.datasets.named import OPENML
from sparsecpu.datasets.shapes import make_shapes
from sparsecpu.datasets.text.reading import TEXT
from sparsecpu.datasets.wide import make_wide
from sparsecpu.registries import Registry
from sparsecpu.registries.names import expected_name, find_name

#: Further names, with words in capitals that users choose, and what is behind each.
KINDS_OF_NAMES = {
    "openml:NAME": "A table of OpenML; or openml:NAME@VERSION, or openml:NUMBER.",
    "text:FILE": "Text for a language model; or text:FOLDER.",
    "text:python": "The standard library of Python, as text.",
}
#: Files that are looked through for the one that was meant.
_MOST_FILES = 1_000
#: Data sets that come along, by the name that users give.
BUNDLED: Registry[Callable[[], Dataset]] = Registry(
    "data",
    {
        "digits": load_digits,
        "breast-cancer": load_breast_cancer,
        "wine": load_wine,
        "iris": load_iris,
        "diabetes": load_diabetes,
    },
    "data",
)
#: Those that are made of a number of samples.
GENERATED: Registry[Callable[[int | None], Dataset]] = Registry(
    "data",
    {
        "digits28": load_digits28,
        "make:classification": make_classification,
        "make:regression": make_regression,
        "make:shapes": make_shapes,
        "make:wide": make_wide,
    },
    "data",
)


def data_name(text: str) -> str:
    """Return a name of data as files keep it, however the user has written it.

    What is no such name stays as it is, and so does that of a file or a folder that is there.
    """
    if Path(text).exists():
        return text
    before, colon, after = text.partition(":")
    for kind in (TEXT, OPENML):
        if colon and before.casefold() == kind.removesuffix(":"):
            return kind + after
    return find_name(text, (*BUNDLED, *GENERATED, *IMAGE_SETS)) or text


def expected_data(path: Path) -> str:
    """Return in words what names there are in place of a path where there is nothing."""
    names = [*BUNDLED, *GENERATED, *IMAGE_SETS, *KINDS_OF_NAMES]
    return expected_name(str(path), [*names, *_beside(path)], "data")


def _beside(path: Path) -> list[str]:
    """Return the files beside a path, for which it may be a slip; none for a bare word."""
    if not path.suffix:
        return []
    try:
        return [str(path.parent / file.name) for file in islice(path.parent.iterdir(), _MOST_FILES)]
    except OSError:
        return []
