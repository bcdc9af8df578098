"""Lines that are kept up to date: on a terminal of any width, in a notebook, in a log."""

import contextlib
import fcntl
import io
import os
import struct
import sys
import termios
import types

import pytest

from sparsecpu.reading.live_line import (
    Line,
    NotebookLine,
    Silence,
    TerminalLine,
    Word,
    clock_time,
    fitted,
    line_on,
)

WORDS = [
    Word("epoch 12/40", "12/40"), Word("loss 0.5526", "loss 0.553", 1),
    Word("validation 0.9420", "val 0.942", 3), Word("12,340 samples/s", "12k/s", 4),
    Word("0:14 left", "0:14", 2),
]  # fmt: skip


class Screen:
    """A pseudo-terminal, and what a person would see on its last lines."""

    def __init__(self, columns):
        self._read, self._write = os.openpty()
        settings = termios.tcgetattr(self._write)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(self._write, termios.TCSANOW, settings)
        self.resize(columns)
        self.stream = open(self._write, "w")  # noqa: SIM115
        self.lines, self.column = [""], 0

    def resize(self, columns):
        self.columns = columns
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self._write, termios.TIOCSWINSZ, size)

    def look(self):
        """Return the lines as they stand; what would have been folded is a failure."""
        os.set_blocking(self._read, False)
        text = ""
        with contextlib.suppress(BlockingIOError):
            while True:
                text += os.read(self._read, 100_000).decode()
        while text:
            if text.startswith("\x1b[J"):
                self.lines[-1], text = self.lines[-1][: self.column], text[3:]
                continue
            one, text = text[0], text[1:]
            if one == "\r":
                self.column = 0
            elif one == "\n":
                self.lines.append("")
                self.column = 0
            else:
                assert self.column < self.columns - 1, "the line folds"
                line = self.lines[-1].ljust(self.column)
                self.lines[-1] = line[: self.column] + one + line[self.column + 1 :]
                self.column += 1
        return [line.rstrip() for line in self.lines]

    def close(self):
        self.stream.close()
        os.close(self._read)


@pytest.fixture
def screen():
    made = Screen(80)
    yield made
    made.close()


@pytest.mark.parametrize("width", [*range(20, 130, 3), 39, 79])
def test_words_fit_any_width(width):
    text = fitted(WORDS, width, 0.3)
    assert len(text) <= width
    assert "12/40" in text
    assert ("[" in text) == (width >= 84)


def test_all_is_there_at_40_columns_and_the_least_important_goes_first():
    text = fitted(WORDS, 39, 0.3)
    assert text.split() == ["12/40", "loss", "0.553", "val", "0.942", "12k/s", "0:14"]
    assert "k/s" not in fitted(WORDS, 32)
    assert "val" not in fitted(WORDS, 25)
    assert "loss" in fitted(WORDS, 25)
    assert fitted(WORDS, None, 0.5) == "  ".join(word.full for word in WORDS)


def test_the_bar_is_filled_as_far_as_the_run_is():
    bars = [fitted(WORDS[:2], 70, done) for done in (-1, 0, 0.5, 1, 7)]
    filled = [bar.count("#") / (bar.count("#") + bar.count("-")) for bar in bars]
    assert filled == [0, 0, 0.5, 1, 1]


def test_a_terminal_has_one_line_whatever_its_width_becomes(screen):
    line = line_on(screen.stream)
    assert isinstance(line, TerminalLine)
    for columns in (80, 120, 60, 40, 90, 41):
        screen.resize(columns)
        line.show(WORDS, 0.5)
        assert screen.look() == [fitted(WORDS, columns - 1, 0.5)]
    line.show(WORDS[:1])
    assert screen.look() == ["epoch 12/40"]
    line.leave()
    line.show(WORDS[1:2])
    line.drop()
    line.again()
    assert screen.look() == ["epoch 12/40", ""]


def test_a_message_stands_above_the_line(screen):
    line = line_on(screen.stream)
    line.again()  # nothing to show yet
    line.show(WORDS)
    line.clear()
    screen.stream.write("note\r\n")
    line.again()
    assert screen.look() == ["note", fitted(WORDS, 79)]


def test_ctrl_c_that_the_terminal_prints_is_written_over(screen):
    line = line_on(screen.stream)
    line.show(WORDS)
    screen.stream.write("^C")
    line.show(WORDS)
    assert screen.look() == [fitted(WORDS, 79)]


def test_anywhere_else_each_state_is_a_line(monkeypatch, screen):
    for stream in (log := io.StringIO(), screen.stream):
        monkeypatch.setenv("TERM", "dumb")
        line = line_on(stream)
        assert type(line) is Line
        line.show(WORDS[:2], 0.5)
        line.clear()
        line.again()
    assert log.getvalue() == "epoch 12/40  loss 0.5526\n"


def test_nobody_to_see_it_is_no_error(monkeypatch):
    closed = io.StringIO()
    closed.close()
    line_on(closed).show(WORDS)
    monkeypatch.setattr(sys, "stderr", None)
    line = line_on()
    assert isinstance(line, Silence)
    line.show(WORDS)


def test_a_notebook_has_one_output_that_changes(monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown[-1] = data["text/plain"]

    def display(data, raw, display_id):
        shown.append(data["text/plain"])
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", module)
    inner = types.ModuleType("IPython.display")
    inner.display = display
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    line = line_on(io.StringIO())
    assert isinstance(line, NotebookLine)
    line.show(WORDS[:1])
    line.show(WORDS[:2])
    assert shown == ["epoch 12/40  loss 0.5526"]
    line.leave()
    line.show(WORDS[:1])
    assert len(shown) == 2


def test_times_are_as_clocks_show_them():
    assert [clock_time(s) for s in (0.2, 7, 61, 3723, 90_000)] == [
        "0:00", "0:07", "1:01", "1:02:03", "25:00:00",
    ]  # fmt: skip
