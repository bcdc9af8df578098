"""A language model writes on, token by token: each looks at what those before it have left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import NotFiniteError, ParameterError
from sparsecpu.kernels.machine.arrays import aligned_empty
from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.layers.base import inner_layers
from sparsecpu.registries.numbers import is_number, whole
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential

#: More streams than this share tiles of so many lanes; fewer go one by one.
_SINGLY, _LANES = 2, 16
#: Multiplications of a pass below which one thread is faster than several.
_WORTH_SHARING = 4_000_000


class Memory:
    """Keys and values that the tokens of streams have left in the layers of attention.

    Streams have one token after the other, all of them equally many. Layers reach it as
    ``Context.memory``.
    """

    def __init__(self, streams: int, most: int) -> None:
        self.streams, self.most = streams, most
        #: Tokens of each stream that are kept.
        self.count = 0
        #: True while one more token of each stream passes; else whole beginnings do.
        self.takes_one = False
        self._kept: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
        self._scores: Any = None
        self._rows = np.empty((2, 0))

    def keep(self, layer: Any, k: np.ndarray, v: np.ndarray, sequences: Any) -> None:
        """Keep keys and values of whole beginnings, one for each stream, or one for all.

        Parameters
        ----------
        layer : Layer
            Whose they are; it has ``heads``.
        k, v : ndarray
            Tiles, ``(tiles, features, lanes)``.
        sequences : Sequences
            Where the tokens stand in them.
        """
        tile, lane = np.divmod(sequences.place, k.shape[2])
        heads, size = layer.heads, k.shape[1] // layer.heads
        if layer not in self._kept:
            shape = self.streams, heads, self.most, size
            self._kept[layer] = aligned_empty(shape, k.dtype), aligned_empty(shape, k.dtype)
        for kept, new in zip(self._kept[layer], (k, v), strict=True):
            rows = new[tile, :, lane].reshape(*tile.shape, heads, size)
            kept[:, :, : tile.shape[1]] = rows.swapaxes(1, 2)

    def attend(self, layer: Any, q: np.ndarray, k: np.ndarray, v: np.ndarray, y: Any) -> None:
        """Keep a key and a value more of each stream, and write what its query finds.

        Parameters
        ----------
        layer : Layer
            Whose they are; it has a ``scale``.
        q, k, v : ndarray
            Tiles whose first lanes are a token of each stream.
        y : ndarray
            Where to write, as ``q``; lanes without a stream become 0.
        """
        from sparsecpu.kernels.attention.one_query import attend_to_kept

        if self._scores is None:
            self._scores = aligned_empty(self.most, q.dtype)
        kept = self._kept[layer]
        if self._rows.shape[1] != kept[0].shape[3]:
            self._rows = aligned_empty((2, kept[0].shape[3]), q.dtype)
        y[...] = 0
        scale = q.dtype.type(layer.scale)
        attend_to_kept(
            q, k, v, self.count, scale, *kept, self._scores, self._rows, y
        )  # fmt: skip


class Writer:
    """Streams of tokens and the outputs of their last ones, in memory that stays.

    Parameters
    ----------
    network : Sequential
        A language model.
    streams : int
        How many go on side by side.
    slide : int
        How many of the oldest tokens are forgotten where there are as many as the network reads:
        the rest is read anew, as its places have changed.
    """

    def __init__(self, network: Sequential, streams: int, slide: int) -> None:
        self.network, self.streams, self.slide = network, streams, slide
        self.most = network.input_shape[0]
        self.memory = Memory(streams, self.most)
        self.tokens = np.zeros((streams, self.most), np.int64)
        self._weights = sum(p.nnz for p in network.sparse_parameters().values())
        self._whole = Context(predicts=True, n_valid=streams, in_parts=True, memory=self.memory)
        self._single = Context(predicts=True, n_valid=streams, memory=self.memory)
        self._input = self._tile()

    def _tile(self) -> np.ndarray:
        """Return tiles for one token of each stream, and tell their layers of its place."""
        from sparsecpu.kernels.attention.sequences import Sequences

        lanes = 1 if self.streams <= _SINGLY else _LANES
        tiles = -(-self.streams // lanes)
        owner = np.full(tiles * lanes, -1, np.int32)
        owner[: self.streams] = np.arange(self.streams)
        itemsize = self.network.dtype.itemsize
        self._single.workspace.sequences = Sequences.of(owner, lanes, itemsize)
        return np.zeros((tiles, 1, lanes), np.int64)

    @contextlib.contextmanager
    def _team(self, tokens: int) -> Iterator[None]:
        """Let so many threads share a pass as its tokens are worth."""
        from sparsecpu.kernels.machine.threads import chosen_threads, use_threads

        chosen = chosen_threads()
        if chosen is None and tokens * self._weights < _WORTH_SHARING:
            chosen = 1
        with one_blas_thread(), use_threads(chosen):
            yield

    def begin(self, tokens: np.ndarray) -> np.ndarray:
        """Read the beginnings of streams, (streams, tokens) or (1, tokens) for all of them alike.

        Returns what comes out at their last tokens, (streams, n_outputs).
        """
        network, count = self.network, tokens.shape[1]
        self.memory.takes_one, self.memory.count = False, count
        self.tokens[:, :count] = tokens
        rows, ctx = np.arange(len(tokens)), replace(self._whole, n_valid=len(tokens))
        with self._team(tokens.size):
            lanes = network.lanes(len(tokens))
            x = network.gather(network.samples(tokens), rows, lanes, ctx)
            y, _ = network.forward(x, ctx)
            last = ctx.sequences.place[:, -1]
            if isinstance(y, np.ndarray):
                tile, lane = np.divmod(last, lanes)
                last_outputs = y[tile, :, lane]
            else:  # there would be very many, and no others are asked for
                last_outputs = y.of_tokens(last)
        return np.broadcast_to(last_outputs, (self.streams, network.n_outputs))

    def go_on(self, token: np.ndarray) -> np.ndarray:
        """Read one token more of each stream, (streams,); return what comes out there."""
        memory, count = self.memory, self.memory.count
        if count == self.most:
            kept = self.tokens[:, self.slide :].copy()
            return self.begin(np.concatenate([kept, token[:, None]], axis=1))
        self.tokens[:, count] = token
        self._input.reshape(-1)[: self.streams] = token
        ctx = self._single
        ctx.sequences.position[...] = count
        memory.takes_one = True
        with self._team(self.streams):
            y, _ = self.network.forward(self._input, ctx)
        memory.count = count + 1
        return y.transpose(0, 2, 1).reshape(-1, y.shape[1])[: self.streams]


def generate(
    network: Sequential, prompt: Any, tokens: int, *, temperature: float, top_k: int | None,
    seed: Any, streams: int | None, slide: int | None,
) -> Iterator[Any]:  # fmt: skip
    """Return an iterator of tokens; see ``Sequential.generate``."""
    vocabulary, block = _vocabulary(network), network.input_shape[0]
    beginning = _checked_prompt(prompt, vocabulary)[-block:]
    tokens = whole("tokens", tokens, 1)
    if not (is_number(temperature) and 0.0 <= temperature < np.inf):
        raise ParameterError("temperature", temperature, "a number of at least 0")
    top_k = None if top_k is None else whole("top_k", top_k, 1)
    slide = max(1, block // 4) if slide is None else whole("slide", slide, 1, block)
    count = 1 if streams is None else whole("streams", streams, 1, 2**20)
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(
        whole("seed", seed, 0)
    )  # fmt: skip

    def write() -> Iterator[Any]:
        writer = Writer(network, count, slide)
        z = writer.begin(beginning[None])
        for number in range(tokens):
            token = sample(z, temperature, top_k, rng)
            yield int(token[0]) if streams is None else token
            if number < tokens - 1:
                z = writer.go_on(token)

    return write()


def sample(
    z: np.ndarray, temperature: float, top_k: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return a token for each row of outputs: the likeliest where ``temperature`` is 0, or drawn.

    Parameters
    ----------
    z : ndarray, shape (streams, vocabulary)
        Raw outputs; probabilities are ``softmax(z / temperature)``.
    temperature : float
        The lower, the likelier are likely tokens.
    top_k : int or None
        Only so many of the likeliest may be drawn, and those that are as likely as the last.
    rng : numpy.random.Generator
        Draws one number per row.

    Returns
    -------
    ndarray of int64, shape (streams,)
        The tokens.

    Raises
    ------
    NotFiniteError
        If an output is no number.
    """
    if not np.isfinite(z).all():
        raise NotFiniteError
    if temperature == 0.0:
        return z.argmax(axis=1)
    z = z.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    if top_k is not None and top_k < z.shape[1]:
        least = np.partition(z, -top_k, axis=1)[:, -top_k, None]
        z[z < least] = -np.inf
    with np.errstate(over="ignore"):  # a tiny temperature: all but the likeliest become 0
        ends = np.exp(z / temperature).cumsum(axis=1)
    drawn = rng.random(len(z)) * ends[:, -1]
    return (ends <= drawn[:, None]).sum(axis=1)


def _vocabulary(network: Sequential) -> int:
    """Return how many tokens a language model knows.

    Other networks are refused, and models whose tokens see later ones.
    """
    good = network.reads_tokens and network.output_length is not None
    known = getattr(network.layers[0], "vocabulary", 0) if good else 0
    if not known or network.n_outputs != known:
        expected = "a language model, which reads tokens and says what comes behind each"
        raise ParameterError("network", _called(network), expected)
    for _, layer in inner_layers(network):
        if not getattr(layer, "causal", True):
            raise ParameterError("network", _called(network), "one of causal attention alone")
    return known


def _called(network: Sequential) -> str:
    return "custom" if network.architecture is None else network.architecture.name


def _checked_prompt(prompt: Any, vocabulary: int) -> np.ndarray:
    expected = f"at least one token, a number from 0 to {vocabulary - 1}"
    try:
        ids = np.asarray(prompt)
    except ValueError:
        ids = np.zeros((0, 0))
    if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu":
        raise ParameterError("prompt_ids", prompt, expected)
    ids = ids.astype(np.int64)
    wrong = ids[(ids < 0) | (ids >= vocabulary)]
    if len(wrong):
        raise ParameterError("prompt_ids", int(wrong[0]), expected)
    return ids
