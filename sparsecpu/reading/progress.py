"""Where words about something that takes long go: to stderr, or wherever a command says."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass


def to_stderr(line: str) -> None:
    """Print a line, if there is anywhere to print it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@dataclass
class Voice:
    """Set ``say`` to hear of progress elsewhere, or not at all."""

    say: Callable[[str], None] = to_stderr


voice = Voice()
