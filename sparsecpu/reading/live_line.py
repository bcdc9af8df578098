"""A line that is kept up to date while something takes long: on a terminal, in a notebook, a log.

On a terminal it is written over again and never longer than the terminal is wide. In a notebook it
is one output that changes. Anywhere else each state that is shown is a line of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TextIO

#: Columns where nobody says how many there are.
_USUAL_WIDTH = 80
#: The shortest bar that is worth its place, and the longest.
_BAR = (8, 40)


class Word(NamedTuple):
    """Something to show: in full, in short, and what goes before it where room is short.

    Of several words that of the largest ``rank`` goes first; one of rank 0 stays.
    """

    full: str
    short: str
    rank: int = 0


def fitted(words: Sequence[Word], width: int | None, done: float | None = None) -> str:
    """Return words in so many columns, with a bar behind the first one where there is room.

    ``done`` is how much of the bar is filled, from 0 to 1; None for no bar. A ``width`` of None
    leaves all the room there is, and no bar.
    """
    whole = "  ".join(word.full for word in words)
    if width is None:
        return whole
    room = min(width - len(whole) - len("  []"), _BAR[1])
    if done is not None and room >= _BAR[0]:
        filled = int(room * min(max(done, 0.0), 1.0))
        bar = "#" * filled + "-" * (room - filled)
        return "  ".join([words[0].full, f"[{bar}]", *(word.full for word in words[1:])])
    if len(whole) <= width:
        return whole
    return _shortened(words, width)


def _shortened(words: Sequence[Word], width: int) -> str:
    """Return words in so many columns: the least important ones in short, or not at all."""
    shown = [word.full for word in words]
    order = sorted(range(len(words)), key=lambda k: words[k].rank, reverse=True)
    for k in order:
        if len(" ".join(shown)) <= width:
            break
        shown[k] = words[k].short
    for k in order:
        if len(" ".join(filter(None, shown))) <= width or not words[k].rank:
            break
        shown[k] = ""
    return " ".join(filter(None, shown))[:width]


def clock_time(seconds: float) -> str:
    """Return a time as clocks show it: ``0:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Line:
    """The base: lines of a log, one for each state that is shown."""

    #: True if a state takes the place of the one before.
    live: ClassVar[bool] = False
    #: Seconds that states are apart at least.
    apart: ClassVar[float] = 5.0

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def show(self, words: Sequence[Word], done: float | None = None) -> None:
        """Show these words, and how much is ``done`` as a bar."""
        self._write(fitted(words, None) + "\n")

    def clear(self) -> None:
        """Make room for something else: take away what is shown, if it can be."""

    def again(self) -> None:
        """Show once more what was cleared."""

    def leave(self) -> None:
        """Leave what is shown where it is, for good; what comes next stands below."""

    def drop(self) -> None:
        """Take away what is shown, for good."""

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody is there to see it
            self.stream.write(text)
            self.stream.flush()


class TerminalLine(Line):
    """A line of a terminal.

    The cursor waits at its beginning. So where the terminal is made narrower and folds the line,
    all of it is still behind the cursor, to be wiped; and what else is printed stands at the left.
    """

    live, apart = True, 0.1

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown, self._width = "", 0
        self._last: tuple[Sequence[Word], float | None] | None = None

    def show(self, words: Sequence[Word], done: float | None = None) -> None:
        self._last = words, done
        width = self._columns()
        text = fitted(words, width - 1, done)  # behind the last column some terminals fold
        if self._shown and width < self._width:
            self._write("\r\x1b[J")
            self._shown = ""
        self._write("\r" + text.ljust(len(self._shown)) + "\r")  # Ctrl-C may have moved the cursor
        self._shown, self._width = text, width

    def clear(self) -> None:
        if self._shown:
            narrower = self._columns() < self._width
            self._write("\r\x1b[J" if narrower else f"\r{'':{len(self._shown)}}\r")
            self._shown = ""

    def again(self) -> None:
        if self._last is not None and not self._shown:
            self.show(*self._last)

    def leave(self) -> None:
        self.again()
        if self._shown:
            self._write("\n")
        self._shown, self._last = "", None

    def drop(self) -> None:
        self.clear()
        self._last = None

    def _columns(self) -> int:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.get_terminal_size(self.stream.fileno()).columns or _USUAL_WIDTH
        return _USUAL_WIDTH


class NotebookLine(Line):
    """An output of a notebook's cell, plain text, that changes."""

    live, apart = True, 0.25

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._handle: Any = None

    def show(self, words: Sequence[Word], done: float | None = None) -> None:
        from IPython.display import display

        found = {"text/plain": fitted(words, 100, done)}
        if self._handle is None:
            self._handle = display(found, raw=True, display_id=True)
        else:
            self._handle.update(found, raw=True)

    def leave(self) -> None:
        self._handle = None


class Silence(Line):
    """Shows nothing."""

    def show(self, words: Sequence[Word], done: float | None = None) -> None:
        pass


def line_on(stream: TextIO | None = None) -> Line:
    """Return the line that fits where this program runs, by default on its standard error."""
    chosen = sys.stderr if stream is None else stream
    if chosen is None:  # a program without a console
        return Silence(sys.__stdout__ or open(os.devnull, "w"))
    if _in_notebook():
        return NotebookLine(chosen)
    return TerminalLine(chosen) if _is_terminal(chosen) else Line(chosen)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _is_terminal(stream: Any) -> bool:
    """Return True if what is written can be written over."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    return False


class Pace:
    """Says when to show the next state of a line: no more often than it allows."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._next = 0.0

    def due(self, now: float | None = None) -> bool:
        """Return True if it is time, and begin to wait for the next one."""
        now = time.perf_counter() if now is None else now
        if now < self._next:
            return False
        self._next = now + self.line.apart
        return True
