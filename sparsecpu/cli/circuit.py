"""What ``sparsecpu inspect --circuit`` shows."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.errors import ParameterError

#: Connections in the table and in the picture.
_SHOWN, _DRAWN = 12, 60


def circuit_of(network: Any, facts: dict[str, Any], prompt: str, model: str) -> dict[str, Any]:
    """Return what a language model says behind a prompt, and which connections it takes."""
    from sparsecpu.experiments.circuits import find_circuit
    from sparsecpu.experiments.language import check_vocabulary
    from sparsecpu.kernels.machine.threads import use_threads

    if "tokenizer" not in facts:
        raise ParameterError("circuit", prompt, f"a language model; {model} is none")
    tokenizer = check_vocabulary(facts, network, model)
    tokens = tokenizer.encode(prompt)
    if not 1 <= len(tokens) <= network.input_shape[0]:
        expected = f"a prompt of 1 to {network.input_shape[0]} tokens, the block of {model}"
        raise ParameterError("circuit", f"{len(tokens)} tokens", expected)
    with use_threads(1):  # one sequence is too little to share
        found = find_circuit(network, tokens)
    return {
        "prompt": prompt,
        "token": tokenizer.decode([found.token]),
        "log_probability": found.whole,
        "log_probability_without_any": found.none,
        "alone": [{"connections": n, "log_probability": p} for n, p in found.alone.items()],
        "edges": [vars(edge) for edge in found.edges],
    }


def circuit_table(circuit: dict[str, Any], nnz: int) -> str:
    """Return a circuit as a table for people."""
    whole, none = circuit["log_probability"], circuit["log_probability_without_any"]
    lines = [
        f"circuit: after {circuit['prompt']!r} it says {circuit['token']!r} with probability "
        f"{math.exp(whole):.3f};",
        f"  without any of its {nnz:,} connections {math.exp(none):.3f}, with some alone:",
        f"{'connections':>14}{'probability':>13}",
    ]
    lines += [
        f"{row['connections']:>14,}{math.exp(row['log_probability']):>13.3f}"
        for row in circuit["alone"]
    ]
    lines.append(f"  {'connection':<32}{'output':>8}{'input':>8}{'value':>9}{'nats lost':>11}")
    lines += [
        f"  {edge['layer']:<32}{edge['output']:>8}{edge['input']:>8}{edge['value']:>9.3f}"
        f"{edge['effect']:>11.3f}"
        for edge in circuit["edges"][:_SHOWN]
    ]
    return "\n".join(lines)


def draw_circuit(network: Any, facts: dict[str, Any], circuit: dict[str, Any], path: str) -> None:
    """Draw the connections that matter most into a file."""
    from sparsecpu.experiments.circuits import Edge
    from sparsecpu.experiments.language import check_vocabulary
    from sparsecpu.experiments.plots.circuit import plot_circuit

    tokenizer = check_vocabulary(facts, network, path)
    edges = [Edge(**edge) for edge in circuit["edges"][:_DRAWN]]
    words = {i: repr(tokenizer.decode([i]))[1:-1] for i in range(tokenizer.vocabulary)}
    title = (
        f"After {circuit['prompt']!r} it says {circuit['token']!r} "
        f"(p = {math.exp(circuit['log_probability']):.3f}): "
        f"the {len(edges)} connections of {network.nnz:,} that matter most"
    )
    plot_circuit(network, edges, path, title, words)
