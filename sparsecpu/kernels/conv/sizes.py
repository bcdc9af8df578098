"""The sizes of a convolution that its kernels are told, by name."""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """Sizes of one direction of a convolution.

    Parameters
    ----------
    channels, height, width : int
        Of the planes that are read.
    filters, out_height, out_width : int
        Of the planes that are written.
    down, across : int
        Rows and columns that are read from one output to the next.
    rows, pixels : int
        Rows and columns of outputs that are counted, in each phase.
    top, left : int
        Padding.
    skip_rows, skip_columns : int
        Rows and columns of the output from one that is counted to the next.
    step, room, depth : int
        Of the ring: columns that stand side by side, pixels of a channel in each, rows.
    chunk : int
        Columns of a job.
    abreast : int
        Tiles whose pixels stand side by side.
    bands : int
        Bands of rows, one job each.
    """

    channels: int
    height: int
    width: int
    filters: int
    out_height: int
    out_width: int
    down: int
    across: int
    rows: int
    pixels: int
    top: int
    left: int
    skip_rows: int
    skip_columns: int
    step: int
    room: int
    depth: int
    chunk: int
    abreast: int
    bands: int

    @property
    def chunks(self) -> int:
        """Chunks of columns side by side."""
        return -(-self.pixels // self.chunk)

    def jobs(self, tiles: int) -> int:
        """Return into how many jobs a batch falls.

        Parameters
        ----------
        tiles : int
            Of the batch.

        Returns
        -------
        int
            The number, whatever the number of threads.
        """
        return -(-tiles // self.abreast) * self.chunks * self.bands


class Job(NamedTuple):
    """Where a worker is: a chunk of columns of the tiles abreast, and a row of it.

    Parameters
    ----------
    leader : int
        The first of the tiles.
    first : int
        The first column of the chunk.
    strips : int
        Strips that the chunk falls into.
    row : int
        Counted rows of outputs, from the top.
    """

    leader: int
    first: int
    strips: int
    row: int
