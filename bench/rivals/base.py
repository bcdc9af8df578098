"""What all rivals have in common: a name, and what they need to be here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import ClassVar, TypeVar

SPARSEPROP = "build https://pypi.org/project/sparseprop by hand (Linux)"


class Rival:
    """Somebody else's way of doing the same work."""

    name: ClassVar[str]
    #: The module that it needs beyond our own requirements, and how to get it.
    needs: ClassVar[str] = ""
    how: ClassVar[str] = "pip install 'sparsecpu[peers]'"
    #: True if it is one of those among which the fastest dense one is chosen.
    dense: ClassVar[bool] = True

    @classmethod
    def is_installed(cls) -> bool:
        """Return True if this machine has what the rival needs."""
        return not cls.needs or importlib.util.find_spec(cls.needs) is not None


AnyRival = TypeVar("AnyRival", bound=Rival)


def installed(rivals: Iterable[type[AnyRival]]) -> tuple[list[type[AnyRival]], dict[str, str]]:
    """Return the rivals that are installed, and how to get each of the others."""
    rivals = list(rivals)
    here = [rival for rival in rivals if rival.is_installed()]
    return here, {rival.name: rival.how for rival in rivals if rival not in here}
