"""Which windows of a text a language model is scored on."""

from __future__ import annotations

from typing import Any

from sparsecpu.datasets.text import (
    LANGUAGE,
    is_text,
    read_text,
    refuse_options,
    tokenizer_from_dict,
)
from sparsecpu.errors import DataError


def is_for_text(facts: dict[str, Any], data: str) -> bool:
    """Return True for text and a model of it, False for neither; refuse one without the other."""
    if facts["task"] == LANGUAGE and not is_text(data):
        raise DataError(f"{data} is no text; the model is for text (text:FILE or text:FOLDER)")
    if facts["task"] != LANGUAGE and is_text(data):
        raise DataError(f"{data} is text; the model is for {facts['task']}")
    return facts["task"] == LANGUAGE


def text_part(
    network: Any, facts: dict[str, Any], data: str, part: str | None, reading: dict[str, Any]
) -> tuple[Any, Any, str, tuple[str, ...]]:
    """Return windows of tokens, the tokens that follow, what part they are, and notes.

    Of the text that the model was trained on, that is the last tenth, which was held out; of
    another one it is all, which is then for testing.
    """
    refuse_options(data, reading)
    text = read_text(data, tokenizer_from_dict(facts["tokenizer"]))
    known = text.source.checksum == facts.get("training_data", {}).get("mark")
    notes: tuple[str, ...] = (text.in_words(),)
    if part is None and known:
        notes = (*notes, f"{data} was trained on; the last tenth, held out of training, is taken")
    elif part in ("train", "test") and not known:
        does = "train on" if part == "train" else "hold out"
        notes = (*notes, f"the model was not trained on {data}; a run on it would {does} these")
    chosen = part or ("test" if known else "all")
    length = network.input_shape[0]
    if chosen == "all":  # a short text need not fill a window
        length = max(1, min(length, len(text.tokens) - 1))
    x, y = text.windows(chosen, length)
    return x, y, chosen if known or chosen != "all" else "test", notes
