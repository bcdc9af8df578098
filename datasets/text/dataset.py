"""Text as a data set: windows of its tokens, whose targets are the tokens that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.text.registry import TOKENIZERS
from sparsecpu.datasets.text.sources import Source, find_source
from sparsecpu.datasets.text.tokenizers import Bytes, Tokenizer
from sparsecpu.datasets.text.tokens import encoded
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.registries import read_options
from sparsecpu.registries.numbers import whole

#: How names of text begin, and the task of what is read from them.
TEXT, LANGUAGE = "text:", "language"
#: Tokens of a window where nobody says how many.
LENGTH = 64
_BYTES = Bytes()
#: One token in so many, the last ones, is held out for testing.
_TEST_EVERY = 10


@dataclass(frozen=True)
class TextDataset(Dataset):
    """A text whose tokens are to be predicted, each from those before it.

    ``x_train`` and ``x_test`` are windows of tokens, shape (windows, length), ``y_train`` and
    ``y_test`` the same windows one token later: views of the tokens, of which none is copied. The
    last tenth of the text is held out for testing.

    Parameters
    ----------
    name, task, classes, input_shape, scaling, own_test, columns, first_feature, held
        As in ``Dataset``; the task is "language", and there are no classes.
    tokens : ndarray
        The whole text; it may be mapped from a file.
    tokenizer : Tokenizer
        How it became numbers.
    source : Source or None
        Which files it is made up of.
    step : int or None
        Tokens from the beginning of one window to that of the next; the length by default.
    """

    tokens: np.ndarray | None = None
    tokenizer: Tokenizer = _BYTES
    source: Source | None = None
    step: int | None = None

    @property
    def n_outputs(self) -> int:
        return self.tokenizer.vocabulary

    def windows(self, length: int) -> TextDataset:
        """Return the same text in windows of another length.

        Parameters
        ----------
        length : int
            Tokens of a window; models call it their block.

        Raises
        ------
        DataError
            If the text is too short for that.
        """
        length = whole("length", length, 1)
        tokens = np.empty(0, np.uint8) if self.tokens is None else self.tokens
        cut = len(tokens) - len(tokens) // _TEST_EVERY
        if len(tokens) - cut <= length:
            least = _TEST_EVERY * (length + 1)
            raise DataError(
                f"{self.name} has {len(tokens):,} tokens; windows of {length} need at least "
                f"{least:,}, as a tenth is held out; give a longer text, or a model with a smaller "
                "block"
            )
        step = length if self.step is None else self.step
        x_train, y_train = _windows(tokens[:cut], length, step)
        x_test, y_test = _windows(tokens[cut:], length, length)
        return replace(
            self, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test,
            input_shape=(length,),
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return what a run keeps of its text: which files, and their checksum."""
        if self.source is None:
            return {}
        source = self.source
        return {"files": list(source.files), "bytes": source.size, "sha256": source.checksum}

    def in_words(self) -> str:
        """Return what is read, in a line."""
        count, vocabulary = 0 if self.tokens is None else len(self.tokens), self.n_outputs
        words = f"{self.name}: {count:,} tokens of {vocabulary:,} ({self.tokenizer.name})"
        if self.source is None:
            return words
        files = self.source.files
        named = files[0] if len(files) == 1 else f"{len(files):,} files, {files[0]} to {files[-1]}"
        return f"{words}, {self.source.size:,} bytes; {named}"


def _windows(tokens: np.ndarray, length: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of windows, and of the tokens that follow each of theirs."""
    views = np.lib.stride_tricks.sliding_window_view
    x, y = (views(part, length)[::step] for part in (tokens[:-1], tokens[1:]))
    return x, y


def is_text(name: Any) -> bool:
    """Return True for a name of text."""
    return isinstance(name, str) and name.startswith(TEXT)


def open_text(name: str, *, tokenizer: Tokenizer | None = None, **unused: Any) -> TextDataset:
    """Return the data set of ``text:FILE``, ``text:FOLDER`` or ``text:python``.

    Options may follow: ``text:FILE:tokens=bpe,vocabulary=4096`` and ``step=16``; see
    ``open_data``. The windows have 64 tokens, or as many as a short text has for them; ``windows``
    changes that.

    Parameters
    ----------
    name : str
        What to read.
    tokenizer : Tokenizer, optional
        That of a model that is to read the text; learnt from the text by default.
    unused : dict
        Options of ``open_data`` that are of no use here, refused unless they say nothing.

    Raises
    ------
    DataError
        If there is no such text, or it cannot be used.
    """
    for option, value in unused.items():
        if value not in (None, "auto", False) and value not in ((), []):
            raise DataError(f"{option} is {value!r}; {name!r} is text, which that is not for")
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
    none = np.empty((0, 1), np.uint8)
    whole_text = TextDataset(
        name, LANGUAGE, none, none, none, none, None, (1,), scaling="none", own_test=False,
        tokens=tokens, tokenizer=known, source=source, step=step,
    )  # fmt: skip
    return whole_text.windows(max(1, min(LENGTH, len(tokens) // _TEST_EVERY - 1)))


def _read_name(name: str) -> tuple[str, str | None, int | None, int | None]:
    """Return what a name says: the place, which tokens, how many different ones, and the step."""
    place = name.removeprefix(TEXT)
    before, colon, after = place.rpartition(":")
    options: dict[str, Any] = {}
    if colon and "=" in after and "/" not in after:
        place = before
        options = read_options("DATA", f"{TEXT[:-1]}:{after}")[1]
    for option in options:
        if option not in ("tokens", "vocabulary", "step"):
            raise ParameterError(option, options[option], "an option of text: tokens, vocabulary, "
                                 "step")  # fmt: skip
    kind = options.get("tokens")
    if kind is not None:
        TOKENIZERS.find(kind)
    if "vocabulary" in options:
        if kind != "bpe":
            used = kind or "characters"
            raise DataError(f"vocabulary is {options['vocabulary']}; tokens={used} has its own, "
                            "tokens=bpe learns so many")  # fmt: skip
        whole("vocabulary", options["vocabulary"], 257)
    step = options.get("step")
    return place, kind, options.get("vocabulary"), None if step is None else whole("step", step, 1)
