"""What every benchmark is: cases, a way to run one, and a table that grows line by line."""

from __future__ import annotations

from typing import Any, ClassVar

#: How much is measured: under a minute, under five, and as long as it takes.
SCOPES = ("quick", "default", "full")


class Benchmark:
    """One subject. Subclasses say what to run; ``cli.bench`` prints, writes and draws.

    Parameters
    ----------
    scope : {"quick", "default", "full"}
        How much is measured.
    threads : int
        Threads of everybody.
    **options : object
        Of the subject.
    """

    #: Name of the command, and a sentence about what is measured.
    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, scope: str = "default", threads: int = 1, **options: Any) -> None:
        self.scope, self.threads, self.options = scope, threads, options
        self.missing: dict[str, str] = {}
        self.setup()

    def setup(self) -> None:
        """Prepare what all cases share."""

    def pick(self, quick: Any, default: Any, full: Any) -> Any:
        """Return what belongs to the scope.

        Parameters
        ----------
        quick, default, full : object
            One for each.

        Returns
        -------
        object
            One of them.
        """
        return dict(zip(SCOPES, (quick, default, full), strict=True))[self.scope]

    def cases(self) -> list[Any]:
        """Return what to run, in order."""
        raise NotImplementedError

    def run(self, case: Any) -> dict[str, Any]:
        """Measure one case.

        Parameters
        ----------
        case : object
            One of ``cases``.

        Returns
        -------
        dict
            Plain values.
        """
        raise NotImplementedError

    def heading(self) -> str:
        """Return the table's first line."""
        raise NotImplementedError

    def row(self, result: dict[str, Any]) -> str:
        """Return the table's line of one result.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            A line.
        """
        raise NotImplementedError

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return what follows from all results together, as plain values and in words.

        Parameters
        ----------
        results : list of dict
            All of them.

        Returns
        -------
        values : dict
            For ``--json``.
        lines : list of str
            For people.
        """
        return {}, []
