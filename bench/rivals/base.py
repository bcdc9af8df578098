"""What all rivals have in common: a name, what they need to be here, and their precision."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import ClassVar, TypeVar

SPARSEPROP = "build https://pypi.org/project/sparseprop by hand (Linux)"
SPARSELAB = "pip install sparselab"


class Rival:
    """Somebody else's way of doing the same work."""

    name: ClassVar[str]
    #: The module that it needs beyond our own requirements, and how to get it.
    needs: ClassVar[str] = ""
    how: ClassVar[str] = "pip install 'sparsecpu[peers]'"
    #: True if it is one of those among which the fastest dense one is chosen.
    dense: ClassVar[bool] = True
    #: What it multiplies in: float32, or bfloat16 with float32 sums.
    precision: ClassVar[str] = "fp32"

    @classmethod
    def is_installed(cls) -> bool:
        """Return True if this machine has what the rival needs."""
        return not cls.needs or importlib.util.find_spec(cls.needs) is not None


AnyRival = TypeVar("AnyRival", bound=Rival)


def installed(
    rivals: Iterable[type[AnyRival]], *, no_bf16: bool = False
) -> tuple[list[type[AnyRival]], dict[str, str]]:
    """Return the rivals that are to be timed, and why each of the others is not.

    ``no_bf16`` leaves those of bfloat16 out, by the user's wish.
    """
    here, missing = [], {}
    for rival in rivals:
        if not rival.is_installed():
            missing[rival.name] = rival.how
        elif no_bf16 and rival.precision == "bf16":
            missing[rival.name] = "left out by --no-dense-bf16"
        else:
            here.append(rival)
    return here, missing
