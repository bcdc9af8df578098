"""Text as numbers and back: by characters, by bytes, and what all tokenizers have in common."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import DataError, FileFormatError

#: Unicode has characters below this number.
_CHARACTERS = 0x110000
#: Characters that a message lists.
_LISTED = 5


def token_type(vocabulary: int) -> np.dtype:
    """Return the smallest type of integers that kernels read and that holds every token."""
    types: tuple[Any, ...] = (np.uint8, np.uint16)
    return np.dtype(next((t for t in types if vocabulary <= np.iinfo(t).max + 1), np.int32))


class Tokenizer:
    """Base of the tokenizers.

    Attributes
    ----------
    name : str
        Its name in files and on the command line.
    pieces : tuple of bytes
        What each token stands for, in UTF-8; several tokens may make up one character.
    """

    name: ClassVar[str] = ""
    pieces: tuple[bytes, ...] = ()

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None = None) -> Tokenizer:
        """Return the tokenizer for a text, which comes in parts.

        Parameters
        ----------
        texts : iterable of str
            The text.
        vocabulary : int, optional
            How many different tokens there may be, where that is a choice.
        """
        raise NotImplementedError

    @property
    def vocabulary(self) -> int:
        """How many different tokens there are."""
        return len(self.pieces)

    @property
    def dtype(self) -> np.dtype:
        """Type in which tokens are kept."""
        return token_type(self.vocabulary)

    def encode(self, text: str) -> np.ndarray:
        """Return the numbers of a text's tokens.

        Parameters
        ----------
        text : str
            The text.

        Raises
        ------
        DataError
            If no token stands for a part of it.
        """
        raise NotImplementedError

    def decode(self, ids: Any) -> str:
        """Return the text of tokens; bytes that make up no character become the sign U+FFFD.

        Parameters
        ----------
        ids : array_like of int
            Numbers of tokens.

        Raises
        ------
        DataError
            If there is no such token.
        """
        return "".join(self.stream(ids))

    def stream(self, ids: Iterable[Any]) -> Iterator[str]:
        """Yield the text of tokens, one after the other: "" until a character is whole.

        Parameters
        ----------
        ids : iterable of int
            Numbers of tokens.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in ids:
            if not 0 <= token < self.vocabulary:
                raise DataError(f"token is {token}; expected one from 0 to {self.vocabulary - 1}")
            yield decoder.decode(self.pieces[int(token)])
        yield decoder.decode(b"", final=True)

    def byte_counts(self) -> np.ndarray:
        """Return how many bytes of UTF-8 each token stands for."""
        return np.array([len(piece) for piece in self.pieces], np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return the tokenizer as plain values."""
        return {"name": self.name}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tokenizer:
        """Return the tokenizer that ``to_dict`` described.

        Parameters
        ----------
        values : dict
            Plain values, from a file perhaps.

        Raises
        ------
        FileFormatError
            If they describe none.
        """
        raise NotImplementedError


class Characters(Tokenizer):
    """A token for each character that occurs in a text, in the order of Unicode.

    Parameters
    ----------
    characters : str
        The characters, sorted, none of them twice.
    """

    name = "characters"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.pieces = tuple(c.encode("utf-8", "surrogatepass") for c in characters)
        codes = _codes(characters)
        self._numbers = np.full(int(codes.max(initial=0)) + 2, -1, np.int32)
        self._numbers[codes] = np.arange(len(codes))

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None = None) -> Characters:
        occurs = np.zeros(_CHARACTERS, bool)
        for text in texts:
            occurs[_codes(text)] = True
        return cls("".join(map(chr, np.flatnonzero(occurs).tolist())))

    def encode(self, text: str) -> np.ndarray:
        # All characters beyond the last known one are as unknown as the one behind it.
        codes = _codes(text)
        numbers = self._numbers[np.minimum(codes, len(self._numbers) - 1)]
        if len(numbers) and numbers.min() < 0:
            raise DataError(self._refusal(text, np.flatnonzero(numbers < 0)))
        return numbers.astype(self.dtype)

    def _refusal(self, text: str, at: np.ndarray) -> str:
        """Say which characters are unknown, and what to do."""
        unknown = sorted({text[place] for place in at.tolist()})
        shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown[:_LISTED])
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        them = "character" if len(unknown) == 1 else "characters"
        return (
            f"the text has the {them} {shown}{more}, unknown to the model, which has learnt "
            f"{self.vocabulary} others; leave them out, or train with tokens=bytes, which knows all"
        )

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "characters": self.characters}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Characters:
        characters = values.get("characters")
        if not isinstance(characters, str) or not characters:
            raise FileFormatError("characters of the tokenizer are missing; expected a text")
        codes = _codes(characters).astype(np.int64)
        if len(codes) > 1 and np.diff(codes).min() <= 0:
            raise FileFormatError("characters of the tokenizer are not sorted, each once")
        return cls(characters)


class Bytes(Tokenizer):
    """A token for each byte of UTF-8: 256 of them, which can write every text."""

    name = "bytes"
    pieces = tuple(bytes([number]) for number in range(256))

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None = None) -> Bytes:
        return cls()

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Bytes:
        return cls()


def _codes(text: str) -> np.ndarray:
    """Return the numbers that Unicode gives to the characters of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
