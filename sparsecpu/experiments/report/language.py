"""How well a language model foretells text, and a sample of what it writes."""

from __future__ import annotations

from typing import Any

from sparsecpu.datasets.text import tokenizer_from_dict
from sparsecpu.errors import SparseCPUError
from sparsecpu.experiments.report.about import kept_scores, show_score
from sparsecpu.experiments.report.html import Html, element, note, paragraph, table
from sparsecpu.experiments.report.run_facts import RunFacts

#: How the sample is written.
_TOKENS, _TEMPERATURE, _SEED = 240, 0.8, 0
#: What it begins with: the first of these that the tokenizer knows.
_PROMPTS = ("\n", " ", "the", "a")
_WORDS = {
    "loss": ("loss", "nats per token; 0 where each next token is foretold with certainty"),
    "perplexity": ("perplexity", "as if it chose among so many tokens that are as likely"),
    "bits_per_byte": ("bits per byte", "the same, so that it can be compared between tokenizers"),
}


def language(run: RunFacts, scores: dict[str, float], where: str) -> list[Html]:
    """Return the scores of a language model, and a sample of its writing.

    ``scores`` are those of text that ``where`` names, none where it was not scored.
    """
    parts = [paragraph("The run kept no scores of held-out text: it has not ended.")]
    if scores:
        rows = [
            (_WORDS[name][0], show_score(name, value), _WORDS[name][1])
            for name, value in scores.items()
        ]
        cells = [(n, v, element("td", w, class_="word")) for n, v, w in rows]
        parts = [table(f"Scores on {where}", ("score", "value", "what it means"), cells)]
    return [*parts, *_sample(run)]


def held_out_scores(run: RunFacts) -> tuple[dict[str, float], str]:
    """Return the scores that ``train`` found, and what they are of."""
    found = {name: value for name, value in kept_scores(run).items() if name in _WORDS}
    return found, f"the last tenth of {run.config['data']}, held out of training"


def _sample(run: RunFacts) -> list[Html]:
    from sparsecpu.kernels.machine.threads import use_threads

    head = element("h3", "What it writes")
    tokenizer = tokenizer_from_dict(run.facts["tokenizer"])
    ids = next((known for text in _PROMPTS if len(known := _known(tokenizer, text))), None)
    if ids is None:
        return [head, paragraph("Its tokens know no line break and no space to begin with.")]
    with use_threads(1):
        tokens = list(run.network.generate(ids, _TOKENS, temperature=_TEMPERATURE, seed=_SEED))
    words = f"{_TOKENS} tokens behind {tokenizer.decode(list(ids))!r}, at temperature "
    words += f"{_TEMPERATURE}, with seed {_SEED}."
    return [head, element("pre", tokenizer.decode(tokens)), note(words)]


def _known(tokenizer: Any, text: str) -> Any:
    try:
        return tokenizer.encode(text)
    except SparseCPUError:
        return ()
