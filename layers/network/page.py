"""Networks and layers in notebooks: a table of layers with a small picture of each pattern."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from sparsecpu.registries.words import in_weights
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.picture import image

if TYPE_CHECKING:
    from sparsecpu.layers.base import Layer
    from sparsecpu.layers.network.planned import PlannedNetwork

#: So many layers have a line, and so many sizes stand in a ``repr``.
_MOST, _FEW = 100, 7
_HEAD = ("", "layer", "weights", "of", "density", "pattern")
_SIDES = ("left", "left", "right", "right", "right", "left")


def line_of(network: PlannedNetwork) -> str:
    """Return a network in a line: its sizes, and how many of its weights there are."""
    first = network.layers[0] if network.layers else None
    flat = len(network.input_shape) == 1 and not network.reads_tokens
    if flat or (first is not None and first.kind == "flatten"):
        sizes = [network.widths[0]]
        for layer, width in zip(network.layers, network.widths[1:], strict=True):
            if any(isinstance(p, SparseParameter) for p in layer.parameters().values()):
                sizes.append(width)
        shown = [str(size) for size in sizes]
        if len(shown) > _FEW:
            shown = [*shown[: _FEW - 2], "…", shown[-1]]
        words = "→".join(shown)
    else:
        shape = "×".join(map(str, network.input_shape))
        words = f"{shape}→{network.n_outputs}, {len(network.layers)} layers"
    return f"{type(network).__name__}({words}, {in_weights(network.nnz, network.size)})"


def line_of_layer(layer: Layer) -> str:
    """Return a layer in a line: what ``describe`` says, and its weights."""
    name = type(layer).__name__
    try:
        words = [layer.describe().partition(" ")[2].removeprefix("of ").replace(" -> ", "→")]
        weights = [p for p in layer.parameters().values() if isinstance(p, SparseParameter)]
    except AttributeError:  # it is not finished yet
        return f"{name}()"
    if weights:
        words.append(in_weights(sum(p.nnz for p in weights), sum(p.pattern.size for p in weights)))
    return f"{name}({', '.join(filter(None, words))})"


def page_of(layers: Any, title: str) -> str:
    """Return HTML with a row for each of the layers, and for each pattern inside of one."""
    rows: list[str] = []
    left = 0
    for number, layer in enumerate(layers):
        weights = [(n, p) for n, p in layer.parameters().items() if isinstance(p, SparseParameter)]
        words = layer.describe().replace("->", "→")
        if len(rows) >= _MOST:
            left += max(1, len(weights))
            continue
        if len(weights) != 1:
            rows.append(_row(number, words))
        for name, weight in weights:
            pattern = weight.pattern
            facts = f"{weight.nnz:,}", f"{pattern.size:,}", f"{100 * weight.density:.3g} %"
            words = f"{number}.{name}" if len(weights) > 1 else words
            rows.append(_row("" if len(weights) > 1 else number, words, *facts, weight=weight))
    more = f"<p>… and {left} rows more: see summary()</p>" if left > 0 else ""
    head = "".join(_cell("th", name, side) for name, side in zip(_HEAD, _SIDES, strict=True))
    return (
        f"<div><p><b>{escape(title)}</b></p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{more}</div>"
    )


def _row(number: Any, words: str, *facts: str, weight: SparseParameter | None = None) -> str:
    texts = (str(number), words, *facts, *[""] * (3 - len(facts)))
    picture = "" if weight is None else image(weight.pattern)
    cells = (*(escape(text) for text in texts), picture)
    return f"<tr>{''.join(_cell('td', *pair) for pair in zip(cells, _SIDES, strict=True))}</tr>"


def _cell(kind: str, content: str, side: str) -> str:
    return f'<{kind} style="text-align:{side};padding:1px 8px">{content}</{kind}>'
