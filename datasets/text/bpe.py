"""Byte-pair encoding, by the package ``tokenizers``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from sparsecpu.datasets.text.tokenizers import Tokenizer
from sparsecpu.errors import DataError, FileFormatError
from sparsecpu.registries.numbers import whole

#: Tokens where nobody says how many; there are 256 for the bytes at least.
_USUAL, _LEAST, _MOST = 4096, 257, 1_000_000
#: Characters that are encoded at a time, and the rest of the line.
_AT_ONCE = 1 << 16


class BytePairs(Tokenizer):
    """Tokens that are learnt: pairs of tokens that often stand side by side become new ones.

    It begins with the 256 bytes, so it can write every text (Sennrich, Haddow and Birch, 2016, on
    bytes as in GPT-2).

    Parameters
    ----------
    document : str
        The tokenizer in the JSON of the package ``tokenizers``, which only ``encode`` needs.

    Raises
    ------
    FileFormatError
        If the document describes no such tokenizer.
    """

    name = "bpe"

    def __init__(self, document: str) -> None:
        self.document = document
        self.pieces = _pieces(document)
        self._encoder: Any = None

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None = None) -> BytePairs:
        count = whole("vocabulary", _USUAL if vocabulary is None else vocabulary, _LEAST, _MOST)
        package = _package()
        made = package.Tokenizer(package.models.BPE())
        made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = package.decoders.ByteLevel()
        alphabet = sorted(package.pre_tokenizers.ByteLevel.alphabet())
        trainer = package.trainers.BpeTrainer(
            vocab_size=count, initial_alphabet=alphabet, special_tokens=[], show_progress=False
        )
        made.train_from_iterator(texts, trainer)
        return cls(made.to_str())

    def encode(self, text: str) -> np.ndarray:
        if self._encoder is None:
            try:
                self._encoder = _package().Tokenizer.from_str(self.document)
            except DataError:
                raise
            except Exception as error:  # the package raises nothing narrower
                raise FileFormatError(f"the tokenizer bpe is damaged ({error})") from error
        parts = (self._encoder.encode(part, add_special_tokens=False).ids for part in _cut(text))
        ids = np.concatenate([np.empty(0, np.int64), *(np.array(part, np.int64) for part in parts)])
        if len(ids) and ids.max() >= self.vocabulary:
            raise FileFormatError("the tokenizer bpe is damaged: it has tokens without a text")
        return ids.astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "document": self.document}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BytePairs:
        document = values.get("document")
        if not isinstance(document, str):
            raise FileFormatError("document of the tokenizer bpe is missing; expected a text")
        return cls(document)


def _cut(text: str) -> Iterator[str]:
    """Yield a text in parts of whole lines: the package takes 200 bytes for each token of one."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _AT_ONCE) + 1 or len(text)
        yield text[start:end]
        start = end


def _package() -> Any:
    """Return the package, which is optional."""
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise DataError(
            "tokens=bpe needs the package tokenizers: pip install 'sparsecpu[text]'; "
            "tokens=characters and tokens=bytes do without"
        ) from None
    return tokenizers


def _pieces(document: str) -> tuple[bytes, ...]:
    """Return what each token of a document stands for, in bytes."""
    try:
        known = json.loads(document)
        ids = dict(known["model"]["vocab"])
        ids |= {added["content"]: added["id"] for added in known["added_tokens"]}
        numbered = sorted((number, token) for token, number in ids.items())
        if [number for number, _ in numbered] != list(range(len(numbered))) or not numbered:
            raise ValueError("its tokens are not numbered from 0")
        return tuple(_bytes_of(token) for _, token in numbered)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        words = f"the tokenizer bpe is no document of the package tokenizers ({error})"
        raise FileFormatError(words) from None


def _bytes_of(token: str) -> bytes:
    """Return the bytes that a token's letters stand for; of one with other letters, its own."""
    try:
        return bytes(_BYTES[letter] for letter in token)
    except KeyError:
        return token.encode("utf-8", "surrogatepass")


def _byte_letters() -> dict[str, int]:
    """Return the letters by which GPT-2 writes bytes: printable ones are themselves."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1),
             *range(ord("®"), ord("ÿ") + 1)]  # fmt: skip
    others = sorted(set(range(256)) - set(plain))
    letters = [*plain, *(256 + number for number in range(len(others)))]
    return {chr(letter): byte for letter, byte in zip(letters, plain + others, strict=True)}


_BYTES = _byte_letters()
