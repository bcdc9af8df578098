"""Runs on text: what they start from, and which data and models fit one another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecpu.datasets import Dataset, open_data
from sparsecpu.datasets.text import (
    LANGUAGE,
    LENGTH,
    TextDataset,
    Tokenizer,
    is_text,
    open_text,
    tokenizer_from_dict,
)
from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.layers import KINDS
from sparsecpu.networks.description import Architecture

#: What a run on text starts from in place of the usual defaults: nanoGPT's setting for a CPU.
OF_TEXT: dict[str, Any] = {
    "model": "gpt-cpu", "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.1,
    "label_smoothing": 0.0, "batch_size": 12,
}  # fmt: skip
#: Steps of such a run, where nobody says how many, nor how many epochs.
STEPS_OF_TEXT = 2000


def is_language_model(architecture: Architecture) -> bool:
    """Return True for a description of a network that reads the numbers of tokens."""
    layers = architecture.layers
    return bool(layers) and bool(KINDS[layers[0].kind].reads_tokens)


def check_kinds(architecture: Architecture, dataset: Dataset, model: str) -> None:
    """Refuse text for a network that reads none, and other data for one that reads text.

    ``model`` is what the user calls the network.
    """
    reads = is_language_model(architecture)
    if dataset.task == LANGUAGE and not reads:
        expected = f"a language model, such as {OF_TEXT['model']}: {dataset.name} is text"
        raise ParameterError("model", model, expected)
    if dataset.task != LANGUAGE and reads:
        expected = f"another one: it is for text (text:FILE), and {dataset.name} is for "
        raise ParameterError("model", model, expected + dataset.task)
    if reads and (known := architecture.layers[0].options["vocabulary"]) != dataset.n_outputs:
        expected = f"one of as many tokens as {dataset.name}, {dataset.n_outputs:,}"
        raise ParameterError("vocabulary of the model", known, expected)


def open_for(
    data: str, reading: dict[str, Any], init: str = "", checkpoint: Path | None = None
) -> Dataset:
    """Return the data set of a run; text in the tokens of the model that the run goes on with.

    That is in the run's own ``checkpoint``, if there is one, or the model ``init``.
    """
    if not is_text(data):
        return open_data(data, **reading)
    path = init if checkpoint is None or not checkpoint.exists() else str(checkpoint)
    return open_text(data, tokenizer=tokenizer_of(path) if path else None, **reading)


def tokenizer_of(path: str) -> Tokenizer | None:
    """Return the tokenizer of a model file, None if it does not say."""
    from sparsecpu.files.model import load

    values = load(path)[1].get("tokenizer")
    if values is None:
        return None
    try:
        return tokenizer_from_dict(values)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None


def in_windows_of(dataset: Dataset, described: Callable[[tuple[int, ...]], Any]) -> Dataset:
    """Return text in windows as long as the block of a model; other data as it is.

    ``described`` returns the model's architecture for samples of a shape, or with its own block.
    """
    if not isinstance(dataset, TextDataset):
        return dataset
    return dataset.windows(described((LENGTH,)).input_shape[0])


def check_vocabulary(facts: dict[str, Any], network: Any, where: str) -> Tokenizer:
    """Return the tokenizer of a language model, whose network must fit it."""
    try:
        tokenizer = tokenizer_from_dict(facts.get("tokenizer"))
    except FileFormatError as error:
        raise FileFormatError(f"{where}: {error}") from None
    if not network.reads_tokens or network.output_length is None:
        raise FileFormatError(f"{where} is for text, but its network is no language model")
    known = {network.layers[0].vocabulary, network.n_outputs}
    if known != {tokenizer.vocabulary}:
        counts = " and ".join(f"{count:,}" for count in sorted(known))
        raise FileFormatError(
            f"{where} has a tokenizer of {tokenizer.vocabulary:,} tokens and a network for {counts}"
        )
    return tokenizer
