"""The sizes of a convolution that its kernels need, by name."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of one direction of a convolution: of its planes, its ring and its jobs."""

    #: The planes that are read.
    channels: int
    height: int
    width: int
    #: The planes that are written.
    filters: int
    out_height: int
    out_width: int
    #: Rows and columns that are read from one output to the next.
    down: int
    across: int
    #: Rows and columns of outputs in each phase.
    rows: int
    columns: int
    #: Padding.
    top: int
    left: int
    #: Rows and columns of the planes that are written from one output of a phase to its next.
    skip_rows: int
    skip_columns: int
    #: The ring: columns ``across`` apart that lie side by side, room for pixels of each, and rows.
    step: int
    room: int
    depth: int
    #: Columns of a job.
    span: int
    #: Tiles of a job: small planes of several tiles are interleaved, pixel by pixel.
    tiles_per_job: int
    #: Bands of rows, one job each.
    bands: int
    #: Pixels of padding that places of taps count although no row of the ring begins with them.
    left_out: int = 0

    @property
    def spans(self) -> int:
        """Spans of columns side by side."""
        return -(-self.columns // self.span)

    def jobs(self, tiles: int) -> int:
        """Return into how many jobs a batch falls, whatever the number of threads."""
        return -(-tiles // self.tiles_per_job) * self.spans * self.bands


class Job(NamedTuple):
    """Where a worker is: the span and the row of outputs that it computes."""

    number: int
    #: The first of the job's tiles.
    first_tile: int
    #: The first column of the span.
    first_column: int
    #: Strips that the span falls into.
    strips: int
    #: The row of outputs, within its phase.
    row: int
