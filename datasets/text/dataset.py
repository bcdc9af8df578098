"""Text as a data set: windows of its tokens, whose targets are the tokens that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsecpu.datasets.base import Dataset
from sparsecpu.datasets.text.reading import Text, read_text
from sparsecpu.datasets.text.tokenizers import Tokenizer
from sparsecpu.errors import DataError

#: The task of what is read from text.
LANGUAGE = "language"
#: Tokens of a window where nobody says how many.
LENGTH = 64


@dataclass(frozen=True, repr=False)
class TextDataset(Dataset):
    """A text whose tokens are to be predicted, each from those before it.

    ``x_train`` and ``x_test`` are windows of tokens, shape (windows, length), ``y_train`` and
    ``y_test`` the same windows one token later: views of the tokens, of which none is copied. The
    last tenth of the text is held out for testing.

    Parameters
    ----------
    name, task, classes, input_shape, scaling, own_test, columns, first_feature, held
        As in ``Dataset``; the task is "language", and there are no classes.
    text : Text or None
        What was read: tokens, tokenizer and files. There is always one.
    """

    text: Text | None = None

    @property
    def tokens(self) -> Any:
        """All tokens of the text, in one vector."""
        return self._read.tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """How the text became numbers."""
        return self._read.tokenizer

    @property
    def _read(self) -> Text:
        if self.text is None:
            raise DataError("a TextDataset has no text; open_data makes one that has")
        return self.text

    @property
    def n_outputs(self) -> int:
        return self.tokenizer.vocabulary

    def _targets(self) -> str:
        return f"{self.n_outputs} different tokens"

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
        return _in_windows(self._read, length)


def _in_windows(text: Text, length: int) -> TextDataset:
    x_train, y_train = text.windows("train", length)
    x_test, y_test = text.windows("test", length)
    return TextDataset(
        text.name, LANGUAGE, x_train, y_train, x_test, y_test, None, (length,), scaling="none",
        own_test=False, text=text,
    )  # fmt: skip


def open_text(name: str, *, tokenizer: Tokenizer | None = None, **unused: Any) -> TextDataset:
    """Return the data set of ``text:FILE``, ``text:FOLDER`` or ``text:python``.

    Options may follow: ``text:FILE:tokens=bpe,vocabulary=4096`` and ``step=16``; see
    ``open_data``. The windows have 64 tokens, or as many as a short text has for them; ``windows``
    of the data set changes that.

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
    refuse_options(name, unused)
    text = read_text(name, tokenizer)
    return _in_windows(text, max(1, min(LENGTH, text.longest)))


def refuse_options(name: str, options: dict[str, Any]) -> None:
    """Refuse options of ``open_data`` that say something: text has no columns, for example."""
    for option, value in options.items():
        if value not in (None, "auto", False) and value not in ((), []):
            raise DataError(f"{option} is {value!r}; {name!r} is text, which that is not for")
