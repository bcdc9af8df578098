"""What ``sparsecpu inspect --attention`` shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.experiments.tables import Column, Table

#: Characters of a text in the head of the table and of the picture.
_QUOTED = 40


def attention_of(
    network: Any, facts: dict[str, Any], text: str, model: str, plot: str | None = None
) -> tuple[dict[str, Any], str]:
    """Return what heads and neurons do with a text; draw the heads' maps where ``plot`` says.

    Beside it stands what is to be said of the picture.
    """
    from sparsecpu.experiments.attention_maps import even_attention, look_at
    from sparsecpu.experiments.language import check_vocabulary
    from sparsecpu.kernels.machine.threads import use_threads

    if "tokenizer" not in facts:
        raise ParameterError("attention", text, language_model(network, model))
    tokenizer = check_vocabulary(facts, network, model)
    every = tokenizer.encode(text)
    if not len(every):
        raise ParameterError("attention", text, "a text of at least one token")
    tokens = every[-network.input_shape[0] :]
    with use_threads(1):  # one sequence is too little to share
        heads, neurons = look_at(network, tokens)
    if not heads:
        raise ParameterError("attention", text, f"a model with attention; {model} has none")
    even = even_attention(len(tokens))
    document = {
        "text": text,
        "tokens": len(tokens),
        "tokens_left_out": len(every) - len(tokens),
        "even": {"entropy": even[0], "effective_tokens": math.exp(even[0]), "distance": even[1]},
        "heads": [
            {
                "layer": head.layer, "head": head.head, "entropy": head.entropy,
                "effective_tokens": math.exp(head.entropy), "distance": head.distance,
                "adds": head.adds, "dead": head.dead or None,
            }
            for head in heads
        ],
        "neurons": [
            {
                "layer": one.layer, "neurons": len(one.never_active),
                "never_active": int(one.never_active.sum()),
                "without_input": int(one.without_input.sum()),
                "without_output": int(one.without_output.sum()), "dead": one.dead.tolist(),
            }
            for one in neurons
        ],
    }  # fmt: skip
    if plot is None:
        return document, ""
    from sparsecpu.experiments.plots.attention import plot_attention

    words = [repr(tokenizer.decode([i]))[1:-1].replace(" ", "\u2423") for i in tokens.tolist()]
    return document, plot_attention(heads, words, f"What heads look at in {_quoted(text)}", plot)


def language_model(network: Any, model: str) -> str:
    """Return in words what is expected in place of a model that reads no text."""
    from sparsecpu.layers import Attention
    from sparsecpu.layers.base import inner_layers

    expected = f"a language model; {model} is none"
    if any(isinstance(layer, Attention) for _, layer in inner_layers(network)):
        expected += ": heads that look at images are not shown (--plot alone draws its patterns)"
    return expected


def attention_table(found: dict[str, Any]) -> str:
    """Return what heads and neurons do as tables for people."""
    tokens, left_out, even = found["tokens"], found["tokens_left_out"], found["even"]
    count = f"{tokens} token" + ("s" if tokens > 1 else "")
    if left_out:
        count = f"the last {count} of {tokens + left_out}, as many as the model reads"
    dead = sum(head["dead"] is not None for head in found["heads"])
    lines = [
        f"attention on {_quoted(found['text'])}, {count}; dead heads: {dead} of "
        f"{len(found['heads'])}",
        *_head_lines(found["heads"]),
        "entropy of a token's weights in nats, and as a number of tokens looked at "
        f"({even['entropy']:.3f} and {even['effective_tokens']:.2f} where all are looked at alike);"
        f" distance to them in tokens ({even['distance']:.2f}); length of what the head adds to a "
        "token. All are means over tokens.",
    ]
    return "\n".join([*lines, *_neuron_lines(found["neurons"])])


def _head_lines(heads: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            head["layer"], str(head["head"]), f"{head['entropy']:.3f}",
            f"{head['effective_tokens']:.2f}", f"{head['distance']:.2f}", f"{head['adds']:.4f}",
            f"dead: {head['dead']}" if head["dead"] else "",
        )
        for head in heads
    ]  # fmt: skip
    return _rows(("layer", "head", "entropy", "tokens", "distance", "  adds"), rows)


def _neuron_lines(neurons: list[dict[str, Any]]) -> list[str]:
    if not neurons:
        return []
    keys = ("feed-forward", "neurons", "dead", "never active", "no weight in", "no weight out")
    rows = [
        (
            one["layer"], str(one["neurons"]), str(len(one["dead"])), str(one["never_active"]),
            str(one["without_input"]), str(one["without_output"]), "",
        )
        for one in neurons
    ]  # fmt: skip
    said = "Dead neurons are never above 0 on this text, or lack weights on a side."
    return ["", *_rows(keys, rows), said]


def _rows(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; the last text of a row is a note on it."""
    first = max(13, *(len(row[0]) + 1 for row in rows))
    table = Table([
        Column(heads[0], first, left=True), *(Column(head, len(head) + 3) for head in heads[1:])
    ])  # fmt: skip
    return [table.heading(), *(table.row(row[:-1], row[-1]) for row in rows)]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}\u2026")
