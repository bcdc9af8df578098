"""The network that users hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecpu.layers.network.autotune import Choice, tune
from sparsecpu.layers.network.generation import generate
from sparsecpu.layers.network.passes import loss_and_gradients, predictions
from sparsecpu.layers.network.planned import PlannedNetwork
from sparsecpu.layers.network.predictor import Predictor
from sparsecpu.layers.network.summary import summary
from sparsecpu.losses import Loss

_PREDICT_BATCH = 1024


class Sequential(PlannedNetwork):
    """Layers one behind the other; also the network that users hold.

    Inside, samples are the last axis, in tiles; the users' order appears only here. Networks may
    share layers, or stand inside of others, if one thread at a time uses them.

    Parameters
    ----------
    layers : iterable of Layer
        The layers, in order; none may appear twice, nor inside of another.
    input_shape : tuple of ints, optional
        Shape of one sample; taken from the first layer where that is linear.

    Attributes
    ----------
    layers : tuple of Layer
        The layers; with them and the shape of a sample all sizes are planned, so that neither can
        be replaced.
    offset, scale : ndarray
        Inputs are read as ``(x - offset) * scale``, per feature; empty for as they are. Where one
        is assigned, the other is 0 or 1 until it is, too; an empty array empties both.
    n_outputs : int
        Numbers per sample, or per token, that come out.
    output_length : int or None
        The most tokens per sample that come out; None where samples come out whole.
    architecture : Architecture or None
        The description that the network was built from, where there is one.
    facts : dict or None
        What its outputs stand for, and how samples are read, where that is known: plain values that
        model files keep, such as ``task`` and ``classes``.

    Raises
    ------
    ParameterError
        If shapes do not fit, or the input shape is missing.
    """

    kind = "sequential"

    def compile(
        self, batch_size: int = 1, *, threads: int | None = None, precision: str = "fp32"
    ) -> Predictor:
        """Return a predictor for batches of one size that allocates no arrays.

        It takes the fastest way: outputs may differ from those of ``predict`` in the last bits.

        Parameters
        ----------
        batch_size : int
            Samples in the largest batch.
        threads : int, optional
            Threads of the kernels; by default all that are worth it.
        precision : {"fp32", "bf16", "fp16"}
            How wide linear layers read their inputs.

        Returns
        -------
        Predictor
            ``predictor(x, out=None)``; any number of threads may call it.
        """
        return Predictor(self, batch_size, threads, precision)

    def autotune(self, batch_size: int = 128, *, threads: int | None = None) -> list[Choice]:
        """Time each layer sparse and as a full matrix, and leave it in the faster form.

        What is computed does not change but for rounding; weights and gradients stay in CSR, and a
        layer in dense form needs two or three full matrices of memory in training. Convolutions
        with groups have one form only. Which rows share their columns belongs to the pattern, whose
        weights have been trained, and stays as it is; that is chosen when a network is made, by
        ``train --group auto`` or ``group="auto"`` of an estimator.

        Parameters
        ----------
        batch_size : int
            Samples per step.
        threads : int, optional
            Threads of the kernels; all by default.

        Returns
        -------
        list of Choice
            What was found and chosen for each layer; print them.

        Notes
        -----
        Nikdan et al., SparseProp (2023), section 4: "time both".
        """
        self._keep_plan()
        return tune(self, batch_size, self.lanes(batch_size), threads)

    def predict(self, x: Any, *, batch_size: int = _PREDICT_BATCH) -> np.ndarray:
        """Return the raw outputs of the last layer.

        Those of a sample have the same bits in any company, on any number of threads.

        Parameters
        ----------
        x : array_like, sparse matrix or Samples
            Samples in the users' order.
        batch_size : int
            Samples that pass at once; tokens, where they are sequences.

        Returns
        -------
        ndarray, shape (samples, n_outputs)
            The outputs; (samples, output_length, n_outputs) where tokens come out.

        Raises
        ------
        DataError
            If features do not fit, or samples are no numbers.
        ParameterError
            If ``batch_size`` is no integer of at least 1.
        """
        return predictions(self, x, batch_size)

    def loss_and_gradients(
        self, x: Any, y: Any, loss: Loss, *, train: bool = True
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Return the mean loss of a batch and the gradient of every parameter.

        Parameters
        ----------
        x : array_like
            Samples in the users' order.
        y : array_like
            Targets.
        loss : Loss
            The loss.
        train : bool
            Whether batch statistics are used, as in training. Dropout acts with a fixed seed.

        Returns
        -------
        loss : float
            The mean.
        gradients : dict of str to ndarray
            By parameter name; copies.

        Raises
        ------
        DataError
            If there are no samples, or not as many targets.
        """
        return loss_and_gradients(self, x, y, loss, train=train)

    def generate(
        self,
        prompt_ids: Any,
        tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: Any = 0,
        streams: int | None = None,
        slide: int | None = None,
    ) -> Iterator[Any]:
        """Return an iterator of the tokens that a language model writes behind a prompt.

        Each token is one pass of a single token: what earlier ones have left in the layers of
        attention is kept. Weights must not change meanwhile.

        Parameters
        ----------
        prompt_ids : array_like of int, shape (length,)
            What to go on from; of more tokens than the network reads, the last ones.
        tokens : int
            How many to write.
        temperature : float
            Tokens are drawn by ``softmax(outputs / temperature)``; 0 takes the likeliest.
        top_k : int, optional
            Draw from so many of the likeliest only.
        seed : int or numpy.random.Generator
            Draws the tokens.
        streams : int, optional
            Write so many texts at once, all from this prompt.
        slide : int, optional
            Where text fills the block that the network reads, its oldest tokens are forgotten, so
            many at once, and the rest is read anew, since its places have changed: a quarter of the
            block by default. 1 always reads the last block whole, as nanoGPT does, and takes a pass
            of it for each token.

        Returns
        -------
        iterator of int
            The tokens; with ``streams``, of arrays with a token for each.

        Raises
        ------
        ParameterError
            If the network is no language model, or an argument out of range.
        """
        return generate(
            self, prompt_ids, tokens, temperature=temperature, top_k=top_k, seed=seed,
            streams=streams, slide=slide,
        )  # fmt: skip

    def save(self, path: Any) -> None:
        """Write a model file, which ``sparsecpu.load`` and the command line read.

        The file has weights, scaling and ``facts``. Commands need to know the ``task``:
        ``{"task": "classification", "classes": ["no", "yes"]}``, or ``{"task": "regression",
        "target_mean": [0.0], "target_scale": [1.0]}``.

        Parameters
        ----------
        path : path
            The file, usually ``….npz``.

        Raises
        ------
        ParameterError
            If a layer cannot be described, as a network inside of the network cannot.
        """
        import sparsecpu  # files stand some floors above

        sparsecpu.save(self, path)

    def summary(self) -> str:
        """Return a table of layers, shapes, nonzeros, densities, bytes, and FLOPs per sample.

        FLOPs are of a forward pass, two per weight and use; those of the dense network beside them.
        """
        self._keep_plan()
        return summary(self)
