"""Text that has been read: which files, which tokenizer, and all its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsecpu.datasets.text.registry import TOKENIZERS
from sparsecpu.datasets.text.sources import Source, find_source
from sparsecpu.datasets.text.tokenizers import Tokenizer
from sparsecpu.datasets.text.tokens import encoded
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.registries import read_options
from sparsecpu.registries.names import find_name, suggested
from sparsecpu.registries.numbers import whole

#: How names of text begin.
TEXT = "text:"
#: One token in so many, the last ones, is held out for testing.
_TEST_EVERY = 10
#: What may stand behind the second colon of a name.
_OPTIONS = ("tokens", "vocabulary", "step")


@dataclass(frozen=True)
class Text:
    """A whole text as numbers.

    Parameters
    ----------
    name : str
        What people call it.
    tokens : ndarray
        Its tokens, in one vector, which may be mapped from a file.
    tokenizer : Tokenizer
        How it became numbers.
    source : Source
        The files that it is made up of.
    step : int or None
        Tokens from the beginning of one training window to that of the next; by default a window.
    """

    name: str
    tokens: np.ndarray = field(repr=False)
    tokenizer: Tokenizer
    source: Source
    step: int | None = None

    @property
    def longest(self) -> int:
        """Tokens of the longest windows for which the held-out part has room."""
        return len(self.tokens) // _TEST_EVERY - 1

    def windows(self, part: str, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return windows of tokens, and for each token the one that follows.

        Both are views of shape (windows, length); what is left at the end, less than a window, is
        in none.

        Parameters
        ----------
        part : {"train", "test", "all"}
            All but the last tenth, the last tenth, or the whole text.
        length : int
            Tokens of a window.

        Raises
        ------
        DataError
            If the part is too short for one window.
        """
        cut, length = len(self.tokens) - len(self.tokens) // _TEST_EVERY, whole("length", length, 1)
        tokens = {"train": self.tokens[:cut], "test": self.tokens[cut:], "all": self.tokens}[part]
        if len(tokens) <= length:
            raise DataError(
                f"{self.name} has {len(self.tokens):,} tokens"
                + (f", of which {len(tokens):,} are for {part}ing" if part != "all" else "")
                + f"; windows of {length} need at least {length + 1} there: give a longer text, or "
                "a model with a smaller block"
            )
        step = self.step if part == "train" and self.step is not None else length
        views = np.lib.stride_tricks.sliding_window_view
        x, y = (views(held, length)[::step] for held in (tokens[:-1], tokens[1:]))
        return x, y

    def facts(self) -> dict[str, Any]:
        """Return what a run keeps of its text: which files, how many bytes, their checksum."""
        source = self.source
        return {"files": list(source.files), "bytes": source.size, "sha256": source.checksum}

    def in_words(self) -> str:
        """Return what was read, in a line."""
        files, tokenizer = self.source.files, self.tokenizer
        named = files[0] if len(files) == 1 else f"{len(files):,} files, {files[0]} to {files[-1]}"
        return (
            f"{self.name}: {named}; {self.source.size:,} bytes are {len(self.tokens):,} tokens "
            f"({tokenizer.name}, {tokenizer.vocabulary:,} different ones)"
        )


def is_text(name: Any) -> bool:
    """Return True for a name of text."""
    return isinstance(name, str) and name.startswith(TEXT)


def read_text(name: str, tokenizer: Tokenizer | None = None) -> Text:
    """Return the text of ``text:FILE``, ``text:FOLDER`` or ``text:python``.

    ``tokenizer`` is that of a model that is to read it; by default it is learnt from the text.
    Raises ``DataError`` if there is no such text, or it cannot be used.
    """
    place, kind, vocabulary, step = _read_name(name)
    if tokenizer is not None and kind not in (None, tokenizer.name):
        raise DataError(f"{name} says tokens={kind}; the model reads tokens={tokenizer.name}")
    learns = TOKENIZERS.find(kind or "characters")
    source = find_source(place)
    try:
        known = learns.learn(source.parts(), vocabulary) if tokenizer is None else tokenizer
        tokens = encoded(source, known)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    if known.vocabulary < 2:
        raise DataError(f"{name} has one character only, again and again; nothing is to be learnt")
    return Text(name, tokens, known, source, step)


def _read_name(name: str) -> tuple[str, str | None, int | None, int | None]:
    """Return what a name says: the place, which tokens, how many different ones, and the step."""
    place = name.removeprefix(TEXT)
    before, colon, after = place.rpartition(":")
    options: dict[str, Any] = {}
    if colon and "=" in after and "/" not in after:
        place = before
        options = read_options("DATA", f"{TEXT}{after}")[1]
    options = {find_name(option, _OPTIONS) or option: value for option, value in options.items()}
    for option in options:
        if option not in _OPTIONS:
            expected = f"an option of text: {', '.join(_OPTIONS)}{suggested(option, _OPTIONS)}"
            raise ParameterError(option, options[option], expected)
    kind, vocabulary, step = map(options.get, _OPTIONS)
    if kind is not None:
        kind = TOKENIZERS.name_of(kind)
    if vocabulary is not None:
        if kind != "bpe":
            used = f"tokens={kind or 'characters'} has as many as there are"
            raise DataError(f"vocabulary is {vocabulary}; it is for tokens=bpe, and {used}")
        whole("vocabulary", vocabulary, 257)
    return place, kind, vocabulary, None if step is None else whole("step", step, 1)
