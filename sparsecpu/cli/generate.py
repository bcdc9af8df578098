"""``sparsecpu generate``."""

from __future__ import annotations

import itertools
import time
from typing import Any

import click

from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.options import output_options
from sparsecpu.cli.output import Speaker, print_json, put


@command()
@click.argument("model")
@click.option("--prompt", required=True, help="The text to go on from.")
@click.option(
    "--tokens", type=int, default=200, show_default=True, help="How many tokens to write."
)
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="Lower keeps to what is likely; 0 always takes the likeliest token.",
)
@click.option("--top-k", type=int, help="Draw from so many of the likeliest tokens only.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the tokens.")
@output_options
def generate(model: str, prompt: str, **options: Any) -> None:
    """Let the language model MODEL write on behind a prompt.

    MODEL is a file, or the folder of a run. The text is printed as it is written; --json prints it
    as one document at the end.
    """
    from sparsecpu.files.places import model_path
    from sparsecpu.kernels.machine.threads import use_threads

    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    network, tokenizer = _language_model(model_path(model))
    ids = tokenizer.encode(prompt)
    drawn = {name: options[name] for name in ("temperature", "top_k", "seed")}
    with use_threads(options["threads"]):
        written = network.generate(ids, options["tokens"], **drawn)
        if options["as_json"]:
            began, tokens = time.perf_counter(), list(written)
            seconds = time.perf_counter() - began
            document = {"prompt": prompt, "text": tokenizer.decode(tokens), "tokens": tokens}
            print_json({**document, "seconds": seconds, "seed": options["seed"]})
            return
        texts = tokenizer.stream(written)
        # Two steps compile all kernels; what is said of that is not to stand amid the text.
        first = list(itertools.islice(texts, 2))
        try:
            put(prompt, ends=False)
            for text in itertools.chain(first, texts):
                put(text, ends=False)
        finally:  # what is said of Ctrl-C has a line of its own
            put("")


def _language_model(path: Any) -> tuple[Any, Any]:
    """Return network and tokenizer of a run on text; refuse others."""
    from sparsecpu.datasets.text import LANGUAGE
    from sparsecpu.errors import ParameterError
    from sparsecpu.experiments.language import check_vocabulary
    from sparsecpu.experiments.trained_models import read_model

    network, facts = read_model(path)
    if facts["task"] != LANGUAGE:
        expected = "a model of text, such as sparsecpu train text:FILE makes: it is for "
        raise ParameterError("model", str(path), expected + facts["task"])
    return network, check_vocabulary(facts, network, str(path))
