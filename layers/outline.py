"""What can be told of a layer from its description alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Shape = tuple[int, ...]


class Outline:
    """What described layers put out and how many weights they have, without making them.

    A layer with weights, with layers inside, or of another shape than its input says otherwise.
    """

    @classmethod
    def trace(cls, shape: Shape, options: dict[str, Any]) -> tuple[Shape, list[Shape]]:
        """Return what a described layer would put out, without making it.

        Parameters
        ----------
        shape : tuple of ints
            Shape of one sample of its input.
        options : dict
            The options of the description.

        Returns
        -------
        shape : tuple of ints
            Shape of one sample of its output.
        weights : list of tuples
            Shapes of its sparse weights; a convolution's are (out, in, height, width).
        """
        return shape, []

    @classmethod
    def trace_length(cls, shape: Shape, options: dict[str, Any], length: int | None) -> int | None:
        """Return the most tokens per sample that a described layer would put out.

        Parameters
        ----------
        shape : tuple of ints
            Shape of one sample, or token, of its input.
        options : dict
            The options of the description.
        length : int or None
            The most tokens per sample of its input; None where samples are no sequences.

        Returns
        -------
        int or None
            The same, unless the layer ``sets_length``.
        """
        return length

    @classmethod
    def allot(cls, options: dict[str, Any], counts: Iterator[int]) -> dict[str, Any]:
        """Return the options of a described layer with as many weights as it is given.

        Parameters
        ----------
        options : dict
            The options of the description.
        counts : iterator of int
            Weights to keep, one for each shape that ``trace`` names.

        Returns
        -------
        dict
            The same, with ``nnz`` set.
        """
        return options

    @classmethod
    def regroup(cls, options: dict[str, Any], sizes: Iterator[int]) -> dict[str, Any]:
        """Return the options of a described layer whose rows stand in groups of other sizes.

        Parameters
        ----------
        options : dict
            The options of the description.
        sizes : iterator of int
            Size of the groups, one for each shape that ``trace`` names.

        Returns
        -------
        dict
            The same, with ``group`` set where it is above 1.
        """
        return options
