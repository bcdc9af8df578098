"""What is shown while kernels are compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsecpu.reading.live_line import Line, Word

if TYPE_CHECKING:
    from sparsecpu.kernels.machine.compile import Compiling


class CompilingShown:
    """Shows on a line that changes which kernel of how many is compiled.

    What is told beforehand, and not of a single kernel, has no place on it.
    """

    def __init__(self, line: Line) -> None:
        self.line = line

    def listen(self, compiling: Compiling) -> None:
        """Show what ``compile_clock`` tells."""
        if not (self.line.live and compiling.number):
            return
        of = "" if compiling.of is None else f" of {compiling.of}"
        words = [
            Word(f"compiling kernel {compiling.number}{of}", f"compiling {compiling.number}{of}"),
            Word(compiling.name, compiling.name, 1),
        ]
        done = None if compiling.of is None else (compiling.number - 1) / compiling.of
        self.line.show(words, done)

    def begin(self) -> None:
        """Listen from now on, unless somebody else does."""
        from sparsecpu.kernels.machine.compile import compile_clock

        if not compile_clock.listeners:
            compile_clock.listeners.append(self.listen)

    def end(self) -> None:
        """Listen no longer."""
        from sparsecpu.kernels.machine.compile import compile_clock

        if self.listen in compile_clock.listeners:
            compile_clock.listeners.remove(self.listen)
